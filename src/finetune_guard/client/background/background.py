"""The keep-alive in the background: which clients it serves, and when it begins and ends.

A client and its copies share one. It begins with the first answer that one of them gets, and ends when
all of them are closed or dropped. It knows clients weakly, and holds one only during a check.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from finetune_guard.client.background.check import (
    BackgroundCheck,
    Check,
    Result,
    reseed,
    until_stopped,
)
from finetune_guard.client.background.deployment_check import DeploymentCheck
from finetune_guard.client.log import log
from finetune_guard.client.sdk_compat import http_client
from finetune_guard.domain.organizations import Credentials
from finetune_guard.engine.deployments import Place
from finetune_guard.engine.guard import Guard
from finetune_guard.openai_api.flow import Flow, T
from finetune_guard.process import Hooks, Rank, register
from finetune_guard.rules.keep_alive import LONGEST, SHORTEST, KeepAlive

_R = TypeVar("_R", bound=Result)


class Client(Protocol):
    """A guarded client, as far as it is spoken to from here."""

    def is_closed(self) -> bool:
        """Whether its HTTP client is closed."""
        ...

    def _guard_is_active(self) -> bool: ...

    def _guard_place(self) -> Place | None: ...

    def _guard_deployments_at(self) -> str | None: ...

    def _guard_credentials(self) -> Credentials: ...

    def _guard_learn_key(self) -> Any: ...

    def _guard_drive(self, flow: Flow[T]) -> Any: ...


class Background:
    """The keep-alives of one guard in the background: what both flavours have in common."""

    def __init__(self, guard: Guard, keep_alive: KeepAlive) -> None:
        self._guard = guard
        self._keep_alive = keep_alive
        self._clients: dict[int, weakref.ref[Client]] = {}
        self._checks: dict[Credentials, Check[Any]] = {}
        self.reset()
        _backgrounds.add(self)

    def reset(self) -> None:
        """Begin anew: after ``fork`` the parent's thread or task isn't there."""
        # Re-entrant: a garbage collection inside the lock may find that a client is gone.
        self._changed = threading.Condition(threading.RLock())
        self._news = False

    def know(self, client: Client) -> None:
        """Count ``client`` as one that is there, without beginning to check."""
        if id(client) not in self._clients and self._has_something_to_do(client):
            with self._changed:
                self._clients[id(client)] = weakref.ref(client, self._forget)

    def _has_something_to_do(self, client: Client) -> bool:
        place = client._guard_place()  # noqa: SLF001 -- its other half
        if place is not None:
            return bool(self._guard.deployments.to_keep(place))
        return self._keep_alive.for_jobs and client._guard_is_active()  # noqa: SLF001 -- too

    def _check_for(self, client: Client) -> Check[Any]:
        place = client._guard_place()  # noqa: SLF001 -- its other half
        if place is None:
            return BackgroundCheck(self._guard, self._keep_alive)
        return DeploymentCheck(self._guard, self._keep_alive, place, client._guard_deployments_at())  # noqa: SLF001 -- too

    def _forget(self, reference: weakref.ref[Client]) -> None:
        with self._changed:
            gone = [key for key, known in list(self._clients.items()) if known is reference]
            for key in gone:
                del self._clients[key]
            if not self._clients:
                self._nobody_left()

    def dismiss(self, client: Client) -> None:
        """Forget ``client`` and all that share its HTTP client, which is about to be closed."""
        with self._changed:
            for key, reference in list(self._clients.items()):
                known = reference()
                if known is None or http_client(known) is http_client(client):
                    del self._clients[key]
            if not self._clients:
                self._nobody_left()

    def _nobody_left(self) -> None:
        raise NotImplementedError

    def _is_interrupted(self) -> bool:
        """Whether a check under way should end now, be it to begin again."""
        return not self._clients

    def _due(self) -> Iterator[tuple[Client, Check[Any]]]:
        """One open client for each organization whose check is due."""
        seen: set[Credentials] = set()
        for key, reference in list(self._clients.items()):
            client = reference()
            if client is None:
                continue
            if client.is_closed():
                self._clients.pop(key, None)
                continue
            credentials = client._guard_credentials()  # noqa: SLF001 -- its other half
            if credentials in seen:
                continue
            seen.add(credentials)
            check = self._checks.get(credentials)
            if check is None:
                check = self._checks[credentials] = self._check_for(client)
            if check.next_at <= time.monotonic():
                yield client, check
        for credentials in self._checks.keys() - seen:
            del self._checks[credentials]

    def _run_check(self, client: Client, check: Check[_R]) -> Flow[_R]:
        return until_stopped(check.run(client._guard_credentials()), self._is_interrupted)  # noqa: SLF001

    def _checked(self, client: Client, check: Check[_R], result: _R) -> None:
        if not client.is_closed():  # else its failure is no news
            check.report(result)
        check.next_at = time.monotonic() + result.next_in.total_seconds()

    def _failed(self, client: Client, check: Check[Any], error: BaseException) -> None:
        wait = LONGEST if client.is_closed() else check.report_unexpected(error)
        check.next_at = time.monotonic() + wait.total_seconds()

    def _seconds_left(self) -> float:
        """Seconds until the next check."""
        next_at = min((check.next_at for check in self._checks.values()), default=0.0)
        longest, shortest = LONGEST.total_seconds(), SHORTEST.total_seconds()
        return max(shortest, min(next_at - time.monotonic(), longest))


def log_failed_round(error: BaseException) -> None:
    """Log that a whole round of checks failed."""
    log(logging.ERROR, "finetune-guard can't check the window: %s", type(error).__name__)


_backgrounds: weakref.WeakSet[Background] = weakref.WeakSet()


def _reset_in_child() -> None:
    reseed()
    for background in list(_backgrounds):
        background.reset()


register(Rank.BACKGROUND, Hooks(after_fork_in_child=_reset_in_child))
