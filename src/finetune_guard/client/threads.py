"""Running what may block in daemon threads, for which no event loop and no exit has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from typing_extensions import TypeVarTuple, Unpack

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")

_GRACE = 0.2
"""Seconds in which a process that was stopped meanwhile may find that it has its answer already."""


class Running(Generic[_T]):
    """A function that runs in a daemon thread of its own, in the context of who began it.

    Where no thread can be started, as at the end of the interpreter, it is run at once.
    """

    def __init__(self, function: Callable[[], _T], when_done: Callable[[], object]) -> None:
        self._function = function
        self._when_done = when_done
        self._result: list[_T] = []
        self._error: BaseException | None = None
        run = contextvars.copy_context().run
        try:
            threading.Thread(target=run, args=(self._run,), name="finetune-guard-step", daemon=True).start()
        except RuntimeError:
            self._run()

    def result(self) -> _T:
        """Return what the function returned, or raise what it raised; it must have ended."""
        error, self._error = self._error, None
        if error is None:
            return self._result[0]
        try:
            raise error
        finally:
            del error  # the error holds this frame, and the frame would hold the error

    def _run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 -- it belongs to whoever waits for the result
            self._error = error
        self._when_done()


async def in_thread(function: Callable[[Unpack[_Arguments]], _T], *arguments: Unpack[_Arguments]) -> _T:
    """Return what ``function`` returns in a daemon thread.

    A task that is cancelled meanwhile ends at once: the function goes on alone. No end of a loop and no
    end of the program waits for it.
    """
    done = anyio.Event()
    running = Running(lambda: function(*arguments), _waker(done))
    await done.wait()
    return running.result()


def within(timeout: float | None, function: Callable[[], _T]) -> _T:
    """Return what ``function`` returns in a daemon thread; in the caller's where there is no ``timeout``.

    Raises:
        TimeoutError: It took longer than ``timeout`` seconds, and goes on alone; or there was no time for it.
    """
    if timeout is None:
        return function()
    if timeout <= 0:
        raise TimeoutError
    done = threading.Event()
    running = Running(function, done.set)
    if not (done.wait(timeout) or done.wait(_GRACE)):
        raise TimeoutError
    return running.result()


def _waker(done: anyio.Event) -> Callable[[], None]:
    """Return what sets ``done`` from another thread; a loop that is gone needs no waking."""
    loop = asyncio_loop()
    if loop is None:
        import trio  # noqa: PLC0415 -- few programs run under it

        token = trio.lowlevel.current_trio_token()

        def wake_trio() -> None:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        return wake_trio

    def wake_asyncio() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(done.set)

    return wake_asyncio


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs the calling task; None under trio, also where that is a guest of asyncio."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if asyncio.current_task(loop) is not None else None
