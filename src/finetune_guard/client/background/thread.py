"""Background keep-alives of sync clients, in a daemon thread."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from typing import Any

from finetune_guard.client.background.background import Background, StoppedError
from finetune_guard.client.background.check import Check


class ThreadBackground(Background):
    """Background keep-alives of sync clients: one daemon thread for as long as any client is open."""

    _thread: threading.Thread | None

    def reset(self) -> None:
        """Reset the state: after ``fork``, the parent's thread or task doesn't exist."""
        super().reset()
        self._thread = None
        self._checking = threading.Lock()
        self._is_paused = False

    def used(self, client: Any) -> None:
        """Start checking, unless that has started already: ``client`` has got a response."""
        if (self._thread is not None and id(client) in self._clients) or client.is_closed():
            return
        self.register(client)
        # Without the caller's context variables, which are those of one request of the program's.
        run = contextvars.Context().run
        thread = threading.Thread(
            target=run, args=(self._run,), name="finetune-guard-background", daemon=True
        )
        with self._changed:
            if self._is_stopped():
                return
            self._has_new_client = True
            self._changed.notify_all()
            if self._thread is not None:
                return
            self._thread = thread
        try:
            thread.start()  # not inside the lock: a garbage collection on its way might need that
        except RuntimeError:  # none can be started now; the next use tries again
            self._thread = None

    def unregister_and_wait(self, client: Any, timeout: float) -> None:
        """Stop checking for ``client`` before it is closed; waits at most ``timeout`` seconds."""
        self.unregister(client)
        if not self._clients:
            self.stop(timeout)

    def pause(self, timeout: float) -> None:
        """Let a running check finish: a child that inherits a busy HTTP client's locks would hang."""
        self._is_paused = not self._is_own_thread and self._checking.acquire(timeout=timeout)

    def resume(self) -> None:
        """Allow checks again."""
        if self._is_paused:
            self._is_paused = False
            self._checking.release()

    def stop(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds until the thread, which was asked to stop, has ended."""
        with self._changed:
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and not self._is_own_thread:
            with contextlib.suppress(RuntimeError):  # it is only about to start, and will find nothing to do
                thread.join(timeout)

    def _is_interrupted(self) -> bool:
        return self.is_forking or self._is_stopped()

    def _stop_unused(self) -> None:
        self._changed.notify_all()

    def _is_stopped(self) -> bool:
        return self.is_ending or not self._clients

    @property
    def _is_own_thread(self) -> bool:
        return self._thread is threading.current_thread()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._has_new_client = False
                if self._is_stopped():
                    self._thread = None
                    return
            seconds = self._check_due()
            with self._changed:
                self._changed.wait_for(lambda: self._has_new_client or self._is_stopped(), seconds)

    def _check_due(self) -> float:
        """Run the checks that are due; holds no client afterwards."""
        try:
            for client, check in self._due():
                with self._checking:
                    self._run_check(client, check)
        except BaseException as error:  # noqa: BLE001 -- whatever a client does, this thread lives on
            return self._log_check_failure(error)
        return self._seconds_left()

    def _run_check(self, client: Any, check: Check) -> None:
        try:
            client._guard_refresh_key(only_missing=True)  # noqa: SLF001 -- its other half
            result = client._guard_drive(self._until_stopped(check.run(client)))  # noqa: SLF001 -- too
        except StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 -- whatever happens, this thread lives on
            self._log_failure(client, check, error)
        else:
            self._checked(client, check, result)
