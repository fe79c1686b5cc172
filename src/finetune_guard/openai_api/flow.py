"""Flows: generators that ask their client for API calls, so that sync and async share their logic.

A *flow* yields an ``ApiCall`` and is sent the ``Reply``, or the SDK's error is thrown in; it is sent None
after a ``Download``, a ``Pause``, or when all flows ``InParallel`` have ended; it yields a ``UserCall`` to
have the user's own call made. The drivers in ``client`` contain no logic.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar

from finetune_guard.domain.errors import FineTuneGuardWarning
from finetune_guard.domain.organizations import Subject

T = TypeVar("T")


@dataclass(frozen=True)
class ApiCall:
    """A request that the client should make, by default with the client's timeout and key.

    A flow that retries by itself sets ``retry=False``, so that the SDK does not.
    """

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=dict)
    json: Mapping[str, object] | None = None
    timeout: timedelta | None = None
    retry: bool = True
    key: str | None = field(default=None, repr=False)


class Download(NamedTuple):
    """A file to download in chunks; an incomplete body is an API error."""

    file: str
    write: Callable[[bytes], object]


class Pause(NamedTuple):
    """A delay before the flow continues."""

    duration: timedelta


class Reply(NamedTuple):
    """The successful response to an ``ApiCall``.

    Attributes:
        body: The JSON body, or None when it isn't JSON.
        subject: Whom it is about.
        at: The time of the response, by the server's clock if that is trusted.
    """

    body: Any
    subject: Subject
    at: datetime


class UserCall(NamedTuple):
    """Make the user's own call now, after the warnings; its success ends the flow."""

    warnings: tuple[FineTuneGuardWarning, ...] = ()


class InParallel(NamedTuple):
    """Flows to run, ``at_once`` at a time. The first error ends the others and is thrown in."""

    flows: Iterable[Generator[Step, Reply | None, None]]
    at_once: int


Request: TypeAlias = ApiCall | Download
Step: TypeAlias = "ApiCall | Download | Pause | InParallel | UserCall"
Flow: TypeAlias = Generator[Step, "Reply | None", T]


class NotMadeError(BaseException):
    """Thrown into a flow that is abandoned before its requested call was made."""


def give_up(flow: Flow[Any]) -> None:
    """End ``flow``, whose current step was not started."""
    with suppress(NotMadeError, StopIteration):
        flow.throw(NotMadeError())
    flow.close()
