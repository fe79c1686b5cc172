"""Background keep-alives: which clients they serve, and when they start and stop.

A client and its copies share one. It begins with the first answer that one of them gets, and ends when
all of them are closed or dropped. It knows clients weakly, and holds one only during a check.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from finetune_guard.client.background.check import Check, DeploymentCheck, WindowCheck
from finetune_guard.client.sdk_compat import http_client
from finetune_guard.domain.organizations import Credentials
from finetune_guard.engine.guard import Guard
from finetune_guard.logs import OnceLog, log
from finetune_guard.openai_api.flow import Flow, NotMadeError, Pause, give_up
from finetune_guard.process import Hooks, Participants, Rank, register
from finetune_guard.rules.keep_alive import LONGEST, SHORTEST

FORK_TIMEOUT = 2.0
_EXIT_TIMEOUT = 2.0
_LONGEST_PAUSE = timedelta(milliseconds=250)


class StoppedError(Exception):
    """The check was asked to stop."""


class Background:
    """The background keep-alives of one guard: the part that sync and async share."""

    is_ending = is_forking = False
    """Whether the process is exiting, or is about to fork."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._clients: dict[int, weakref.ref[Any]] = {}
        self._checks: dict[Credentials, Check] = {}
        self._once = OnceLog()
        self.reset()
        _backgrounds.add(self)

    def reset(self) -> None:
        """Reset the state: after ``fork``, the parent's thread or task doesn't exist."""
        # Re-entrant: a garbage collection inside the lock may find that a client is gone.
        self._changed = threading.Condition(threading.RLock())
        self._has_new_client = False

    def register(self, client: Any) -> None:
        """Register ``client`` without starting to check."""
        if id(client) not in self._clients and self._has_something_to_do(client):
            with self._changed:
                self._clients[id(client)] = weakref.ref(
                    client, lambda gone: self._drop(lambda known: known is gone)
                )

    def _has_something_to_do(self, client: Any) -> bool:
        resource, keep_alive = client._guard_resource(), self._guard.config.keep_alive  # noqa: SLF001 -- its other half
        if resource is not None:
            return bool(resource.names_to_keep_alive())
        return keep_alive is not None and keep_alive.for_jobs and client._guard_is_active()  # noqa: SLF001 -- too

    def unregister(self, client: Any) -> None:
        """Forget ``client`` and all clients that share its HTTP client, which is about to be closed."""
        closed = http_client(client)
        self._drop(lambda known: (it := known()) is None or http_client(it) is closed)

    def _drop(self, is_gone: Callable[[weakref.ref[Any]], bool]) -> None:
        with self._changed:
            for key, reference in list(self._clients.items()):
                if is_gone(reference):
                    self._clients.pop(key, None)
            if not self._clients:
                self._stop_unused()

    def pause(self, timeout: float) -> None:
        """Let running checks finish before a fork, and start none; waits at most ``timeout`` seconds."""

    def resume(self) -> None:
        """Allow checks again."""

    def stop(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds until the background has stopped."""

    def _stop_unused(self) -> None:
        raise NotImplementedError

    def _is_interrupted(self) -> bool:
        """Whether a running check should end now, even if it will start again later."""
        return not self._clients

    def _due(self) -> Iterator[tuple[Any, Check]]:
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
            if credentials not in self._checks:
                kind = WindowCheck if client._guard_resource() is None else DeploymentCheck  # noqa: SLF001 -- too
                self._checks[credentials] = kind(client)
            check = self._checks[credentials]
            if check.next_at <= time.monotonic():
                yield client, check
        for credentials in self._checks.keys() - seen:
            del self._checks[credentials]

    def _checked(self, client: Any, check: Check, result: Any) -> None:
        if not client.is_closed():  # else its failure is no news
            check.report(result)
        check.next_at = time.monotonic() + result.next_in.total_seconds()

    def _log_failure(self, client: Any, check: Check, error: BaseException) -> None:
        wait = LONGEST if client.is_closed() else check.report_unexpected(error)
        check.next_at = time.monotonic() + wait.total_seconds()

    def _seconds_left(self) -> float:
        """Seconds until the next check."""
        next_at = min((check.next_at for check in self._checks.values()), default=0.0)
        longest, shortest = LONGEST.total_seconds(), SHORTEST.total_seconds()
        return max(shortest, min(next_at - time.monotonic(), longest))

    @staticmethod
    def _log_check_failure(error: BaseException) -> float:
        log(logging.ERROR, "finetune-guard can't check the window: %s", type(error).__name__)
        return LONGEST.total_seconds()

    def _until_stopped(self, flow: Flow[Any]) -> Flow[Any]:
        """Return ``flow``, ended before its next step once interrupted; its pauses are cut into short ones.

        Raises:
            StoppedError: It was ended so.
        """
        try:
            step = next(flow)
            while True:
                if self._is_interrupted():
                    give_up(flow)
                    raise StoppedError
                if isinstance(step, Pause) and step.duration > _LONGEST_PAUSE:
                    yield Pause(_LONGEST_PAUSE)
                    step = Pause(step.duration - _LONGEST_PAUSE)
                    continue
                try:
                    reply = yield step
                except NotMadeError:
                    give_up(flow)
                    raise
                except Exception as error:  # noqa: BLE001 -- the flow decides which errors it can handle
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as stop:
            return stop.value
        finally:
            flow.close()


_backgrounds = Participants[Background]()


def _stop_at_exit() -> None:
    Background.is_ending = True
    _backgrounds.call(lambda background, left: background.stop(left), _EXIT_TIMEOUT)


def _pause_before_fork() -> None:
    Background.is_forking = True
    _backgrounds.call(lambda background, left: background.pause(left), FORK_TIMEOUT)


def _resume_after_fork() -> None:
    Background.is_forking = False
    _backgrounds.call(lambda background: background.resume())


def _reset_in_child() -> None:
    _resume_after_fork()
    _backgrounds.call(lambda background: background.reset())


register(Rank.BACKGROUND, Hooks(_pause_before_fork, _resume_after_fork, _reset_in_child, _stop_at_exit))
