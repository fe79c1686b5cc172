"""Background keep-alives of async clients, on asyncio's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from typing import Any

from finetune_guard.client.background.background import Background, StoppedError
from finetune_guard.client.background.check import Check
from finetune_guard.client.threads import asyncio_loop


class AsyncBackground(Background):
    """Background keep-alives of async clients: a timer on the loop, and a task during a check.

    A task that waits for hours would be seen by programs that wait for all tasks, and complained about when
    a loop is closed.
    """

    _loop: asyncio.AbstractEventLoop | None
    _timer: asyncio.Handle | None
    _task: asyncio.Task[float] | None

    def reset(self) -> None:
        """Reset the state: after ``fork``, the parent's thread or task doesn't exist."""
        super().reset()
        self._loop = self._timer = self._task = None

    def used(self, client: Any) -> None:
        """Start checking, unless that has started already: ``client`` has got a response."""
        if id(client) in self._clients and self._is_running():
            return
        loop = asyncio_loop()
        if loop is None:
            self._once.log(
                logging.WARNING,
                "finetune-guard sends no keep-alive in the background: async clients need asyncio for that. "
                "Call client.guard.keep_alive() from a task of yours, or run finetune-guard keep-alive.",
            )
            return
        if client.is_closed():
            return
        self.register(client)
        with self._changed:
            if not self._clients:
                return
            self._has_new_client = True
            if self._loop is loop and self._task is not None:
                return  # at its end, the new client is checked
            if self._loop is loop or not self._is_running():
                self._cancel_timer()
                self._loop, self._task = loop, None
                self._set_timer(0.0)

    async def unregister_and_wait(self, client: Any, timeout: float) -> None:
        """Stop checking for ``client`` before it is closed; waits at most ``timeout`` seconds."""
        self.unregister(client)
        task, loop = self._task, self._loop
        if self._clients or task is None or loop is None:
            return
        if loop is asyncio_loop():
            _, unfinished = await asyncio.wait([task], timeout=timeout)
            if unfinished:
                task.cancel()
                await asyncio.wait([task], timeout=timeout)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(task.cancel)

    def _stop_unused(self) -> None:
        self._cancel_timer()

    def _is_running(self) -> bool:
        scheduled = self._timer is not None or self._task is not None
        return scheduled and self._loop is not None and self._loop.is_running()

    def _set_timer(self, seconds: float) -> None:
        assert self._loop is not None
        # Without the caller's context variables, which are those of one request of the program's.
        self._timer = self._loop.call_later(seconds, self._start_check, context=contextvars.Context())

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is None or self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(timer.cancel)

    def _start_check(self) -> None:
        with self._changed:
            loop = asyncio.get_running_loop()
            if self._timer is None or loop is not self._loop:  # it was cancelled too late
                return
            self._timer, self._has_new_client = None, False
            if self._clients:
                self._task = loop.create_task(self._check_due(), name="finetune-guard-background")
                self._task.add_done_callback(self._finish_check)

    def _finish_check(self, task: asyncio.Task[float]) -> None:
        with self._changed:
            if task is not self._task:
                return
            self._task = None
            if not task.cancelled() and task.exception() is None and self._clients:
                self._set_timer(0.0 if self._has_new_client else task.result())

    async def _check_due(self) -> float:
        """Run the checks that are due; holds no client afterwards."""
        try:
            for client, check in self._due():
                await self._run_check(client, check)
        except Exception as error:  # noqa: BLE001 -- our failure must not be the program's
            return self._log_check_failure(error)
        return self._seconds_left()

    async def _run_check(self, client: Any, check: Check) -> None:
        try:
            await client._guard_refresh_key(only_missing=True)  # noqa: SLF001 -- its other half
            result = await client._guard_drive(self._until_stopped(check.run(client)))  # noqa: SLF001 -- too
        except StoppedError:
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- our failure must not be the program's
            self._log_failure(client, check, error)
        else:
            self._checked(client, check, result)
