"""Flows: generators that ask their client for API calls, so that sync and async share their logic.

A *flow* yields an ``ApiCall`` and is sent the ``Reply``, or has the SDK's error thrown in; it is sent None
when a ``Download`` was read, a ``Pause`` is over, or all flows ``InParallel`` have ended; it yields a
``UserCall`` where the user's own call is to be made. Drivers, beside the clients, hold no logic.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar

from finetune_guard.domain.errors import FineTuneGuardWarning
from finetune_guard.domain.organizations import Credentials

T = TypeVar("T")


@dataclass(frozen=True)
class ApiCall:
    """A request that a flow asks its client to make, with the client's own timeout and key if none is given.

    A flow that retries by itself says ``retry=False``, so that the SDK does not.
    """

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=dict)
    json: Mapping[str, object] | None = None
    timeout: timedelta | None = None
    retry: bool = True
    key: str | None = field(default=None, repr=False)


class Download(NamedTuple):
    """A file whose content a flow asks for, piece by piece; a body that breaks off is an API error."""

    file: str
    write: Callable[[bytes], object]


class Pause(NamedTuple):
    """A time to wait before the flow goes on."""

    duration: timedelta


class Reply(NamedTuple):
    """The successful answer to an ``ApiCall``.

    Attributes:
        body: The JSON body, or None when it isn't JSON.
        organization: The organization's slug, when the API named it.
        credentials: What the request was sent with.
        at: When it was answered, by the server's clock if that is believed.
    """

    body: Any
    organization: str | None
    credentials: Credentials
    at: datetime


class UserCall(NamedTuple):
    """The user's own call goes out now, after the warnings; its success ends the flow."""

    warnings: tuple[FineTuneGuardWarning, ...] = ()


class InParallel(NamedTuple):
    """Flows of which ``at_once`` run at a time. The first error ends the others and is thrown in."""

    flows: Iterable[Generator[Step, Reply | None, None]]
    at_once: int


Request: TypeAlias = ApiCall | Download
Step: TypeAlias = "ApiCall | Download | Pause | InParallel | UserCall"
Flow: TypeAlias = Generator[Step, "Reply | None", T]


class NotMadeError(BaseException):
    """Thrown into a flow that is given up before the call that it asks for was made."""


def give_up(flow: Flow[Any]) -> None:
    """End ``flow``, whose present step was not begun."""
    with suppress(NotMadeError, StopIteration):
        flow.throw(NotMadeError())
    flow.close()
