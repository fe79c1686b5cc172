"""The keep-alive in the background of sync clients: a daemon thread."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
import weakref
from typing import Any

from finetune_guard.client.background.background import Background, StoppedError
from finetune_guard.client.background.check import Check
from finetune_guard.engine.guard import Guard
from finetune_guard.process import Hooks, Rank, register

_EXIT_TIMEOUT = 2.0
_FORK_TIMEOUT = 2.0


class ThreadBackground(Background):
    """The keep-alive in the background of sync clients: one daemon thread while any of them is there."""

    _thread: threading.Thread | None

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard)
        _backgrounds.add(self)

    def reset(self) -> None:
        """Begin anew. After ``fork`` the parent's thread or task isn't there."""
        super().reset()
        self._thread = None
        self.checking = threading.Lock()

    def used(self, client: Any) -> None:
        """Begin to check, if that hasn't begun: ``client`` has got an answer."""
        if (self._thread is not None and id(client) in self._clients) or client.is_closed():
            return
        self.know(client)
        # Without the caller's context variables, which are those of one request of the program's.
        run = contextvars.Context().run
        thread = threading.Thread(
            target=run, args=(self._run,), name="finetune-guard-background", daemon=True
        )
        with self._changed:
            if self._is_stopped():
                return
            self._news = True
            self._changed.notify_all()
            if self._thread is not None:
                return
            self._thread = thread
        try:
            thread.start()  # not inside the lock: a garbage collection on its way might need that
        except RuntimeError:  # none can be started now; the next use tries again
            self._thread = None

    def leave(self, client: Any, timeout: float) -> None:
        """End what is done for ``client`` before it is closed; waits at most ``timeout`` seconds."""
        self.dismiss(client)
        if not self._clients:
            self.end(timeout)

    def end(self, timeout: float) -> None:
        """Wait until the thread has ended, which has been told to; at most ``timeout`` seconds."""
        with self._changed:
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and not self.is_own_thread:
            with contextlib.suppress(RuntimeError):  # it is only about to start, and will find nothing to do
                thread.join(timeout)

    def _is_interrupted(self) -> bool:
        return _forking or self._is_stopped()

    def _nobody_left(self) -> None:
        self._changed.notify_all()

    def _is_stopped(self) -> bool:
        return _ending or not self._clients

    @property
    def is_own_thread(self) -> bool:
        """Whether this is called from the background's own thread."""
        return self._thread is threading.current_thread()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._news = False
                if self._is_stopped():
                    self._thread = None
                    return
            seconds = self._round()
            with self._changed:
                self._changed.wait_for(lambda: self._news or self._is_stopped(), seconds)

    def _round(self) -> float:
        """Check whatever is due; no client is held when it is over."""
        try:
            for client, check in self._due():
                with self.checking:
                    self._attend(client, check)
        except BaseException as error:  # noqa: BLE001 -- whatever a client does, this thread lives on
            return self._round_failed(error)
        return self._seconds_left()

    def _attend(self, client: Any, check: Check) -> None:
        try:
            client._guard_learn_key()  # noqa: SLF001 -- its other half
            result = client._guard_drive(self._until_stopped(check.run(client)))  # noqa: SLF001 -- too
        except StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 -- whatever happens, this thread lives on
            self._failed(client, check, error)
        else:
            self._checked(client, check, result)


_backgrounds: weakref.WeakSet[ThreadBackground] = weakref.WeakSet()
_ending = False
_forking = False
_resting: list[threading.Lock] = []


def _end_at_exit() -> None:
    global _ending  # noqa: PLW0603 -- the process ends once
    _ending = True
    deadline = time.monotonic() + _EXIT_TIMEOUT
    for background in list(_backgrounds):
        background.end(max(0.0, deadline - time.monotonic()))


def _rest_before_fork() -> None:
    """Let checks come to an end first: a child that inherits the locks of an HTTP client under way hangs."""
    global _forking  # noqa: PLW0603 -- the process forks as a whole
    _forking = True
    deadline = time.monotonic() + _FORK_TIMEOUT
    for background in list(_backgrounds):
        left = max(0.0, deadline - time.monotonic())
        if not background.is_own_thread and background.checking.acquire(timeout=left):
            _resting.append(background.checking)


def _go_on_after_fork() -> None:
    global _forking  # noqa: PLW0603 -- as above
    _forking = False
    while _resting:
        _resting.pop().release()


register(
    Rank.BACKGROUND,
    Hooks(
        before_fork=_rest_before_fork,
        after_fork_in_parent=_go_on_after_fork,
        after_fork_in_child=_go_on_after_fork,
        at_exit=_end_at_exit,
    ),
)
