"""Running what may block in daemon threads, for which no event loop and no exit has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

import anyio
from typing_extensions import TypeVarTuple, Unpack

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")

_GRACE = 0.2
"""Seconds in which a process that was stopped meanwhile may find that it has its answer already."""


def in_background(function: Callable[[], _T]) -> Future[_T]:
    """Run ``function`` in a daemon thread of its own, in the context of the caller.

    Where no thread can be started, as at the end of the interpreter, it is run at once.
    """
    future: Future[_T] = Future()
    run, given = contextvars.copy_context().run, (_settle, future, function)
    try:
        threading.Thread(target=run, args=given, name="finetune-guard-step", daemon=True).start()
    except RuntimeError:
        _settle(future, function)
    return future


def _settle(future: Future[_T], function: Callable[[], _T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 -- it belongs to whoever waits for the result
        future.set_exception(error)
    finally:
        del future  # an error holds this frame, and the frame would hold the error


async def in_thread(function: Callable[[Unpack[_Arguments]], _T], *arguments: Unpack[_Arguments]) -> _T:
    """Return what ``function`` returns in a daemon thread.

    A task that is cancelled meanwhile ends at once: the function goes on alone. No end of a loop and no
    end of the program waits for it.
    """
    done = anyio.Event()
    wake = _waker(done)
    future = in_background(lambda: function(*arguments))
    future.add_done_callback(wake)
    try:
        await done.wait()
        return future.result()
    finally:
        del future  # as in _settle


def within(timeout: float | None, function: Callable[[], _T]) -> _T:
    """Return what ``function`` returns in a daemon thread; in the caller's where there is no ``timeout``.

    Raises:
        TimeoutError: It took longer than ``timeout`` seconds, and goes on alone; or there was no time for it.
    """
    if timeout is None:
        return function()
    if timeout <= 0:
        raise TimeoutError
    future = in_background(function)
    try:
        if not (wait([future], timeout).done or wait([future], _GRACE).done):
            raise TimeoutError
        return future.result()
    finally:
        del future  # as in _settle


def _waker(done: anyio.Event) -> Callable[[object], None]:
    """Return what sets ``done`` from another thread; a loop that is gone needs no waking."""
    loop = asyncio_loop()
    if loop is not None:
        soon: Callable[[Callable[[], None]], object] = loop.call_soon_threadsafe
    else:
        import trio  # noqa: PLC0415 -- few programs run under it

        soon = trio.lowlevel.current_trio_token().run_sync_soon

    def wake(_: object) -> None:
        with contextlib.suppress(RuntimeError):
            soon(done.set)

    return wake


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs the calling task; None under trio, also where that is a guest of asyncio."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if asyncio.current_task(loop) is not None else None
