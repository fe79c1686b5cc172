"""The keeper of sync clients: a daemon thread."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import threading
import time
import weakref

from finetune_guard.client.background.background import Client, Keeper, complain
from finetune_guard.client.background.checks import Lookout, StoppedError
from finetune_guard.engine.guard import Guard
from finetune_guard.rules.background_delay import LONGEST
from finetune_guard.rules.keep_alive import KeepAlive

_EXIT_TIMEOUT = 2.0
_FORK_TIMEOUT = 2.0


class ThreadKeeper(Keeper):
    """The keeper of sync clients: one daemon thread while any of them is there."""

    _thread: threading.Thread | None

    def __init__(self, guard: Guard, keep_alive: KeepAlive) -> None:
        super().__init__(guard, keep_alive)
        _keepers.add(self)

    def reset(self) -> None:
        """Begin anew. After ``fork`` what looked in the parent isn't there."""
        super().reset()
        self._thread = None
        self.looking = threading.Lock()

    def used(self, client: Client) -> None:
        """Begin to look, if that hasn't begun: ``client`` has got an answer."""
        if self._thread is not None and id(client) in self._clients:
            return
        if client.is_closed():
            return
        self.know(client)
        # Without the caller's context variables, which are those of one request of the program's.
        run = contextvars.Context().run
        thread = threading.Thread(target=run, args=(self._run,), name="finetune-guard-keeper", daemon=True)
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

    def leave(self, client: Client, timeout: float) -> None:
        """End what is done for ``client`` before it is closed; waits at most ``timeout`` seconds."""
        self._dismiss(client)
        thread = self._thread
        if not self._clients and thread is not None and thread is not threading.current_thread():
            _join(thread, timeout)

    def end(self, timeout: float) -> None:
        """End the thread, at most ``timeout`` seconds long: the interpreter ends."""
        with self._changed:
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            _join(thread, timeout)

    def _is_interrupted(self) -> bool:
        return _forking or self._is_stopped()

    def _nobody_left(self) -> None:
        self._changed.notify_all()

    def _is_stopped(self) -> bool:
        return _ending or not self._clients

    @property
    def is_own_thread(self) -> bool:
        """Whether this is called from the keeper's own thread."""
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
        """Look at whatever is due; no client is held when it is over."""
        try:
            for client, lookout in self._due():
                with self.looking:
                    self._attend(client, lookout)
        except BaseException as error:  # noqa: BLE001 -- whatever a client does, this thread lives on
            complain(error)
            return LONGEST.total_seconds()
        return self._seconds_left()

    def _attend(self, client: Client, lookout: Lookout) -> None:
        try:
            client._guard_learn_key()  # noqa: SLF001 -- its other half
            look = client._guard_drive(self._look(client, lookout))  # noqa: SLF001 -- too
        except StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 -- whatever happens, this thread lives on
            self._failed(client, lookout, error)
        else:
            self._looked(client, lookout, look)


def _join(thread: threading.Thread, timeout: float) -> None:
    with contextlib.suppress(RuntimeError):  # it is only about to start, and will find nothing to do
        thread.join(timeout)


_keepers: weakref.WeakSet[ThreadKeeper] = weakref.WeakSet()
_ending = False
_forking = False
_resting: list[threading.Lock] = []


def _end_at_exit() -> None:
    global _ending  # noqa: PLW0603 -- the process ends once
    _ending = True
    deadline = time.monotonic() + _EXIT_TIMEOUT
    for keeper in list(_keepers):
        keeper.end(max(0.0, deadline - time.monotonic()))


def _rest_before_fork() -> None:
    """Let looks come to an end first: a child that inherits the locks of an HTTP client under way hangs."""
    global _forking  # noqa: PLW0603 -- the process forks as a whole
    _forking = True
    deadline = time.monotonic() + _FORK_TIMEOUT
    _resting.extend(
        keeper.looking
        for keeper in list(_keepers)
        if not keeper.is_own_thread and keeper.looking.acquire(timeout=max(0.0, deadline - time.monotonic()))
    )


def _go_on_after_fork() -> None:
    global _forking  # noqa: PLW0603 -- as above
    _forking = False
    while _resting:
        _resting.pop().release()


# What is registered last runs first: before the history is written for the last time.
atexit.register(_end_at_exit)
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_rest_before_fork, after_in_parent=_go_on_after_fork, after_in_child=_go_on_after_fork
    )
