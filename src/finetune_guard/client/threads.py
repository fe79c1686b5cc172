"""Running what may block in daemon threads, for which no event loop and no exit has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import anyio

_T = TypeVar("_T")

_GRACE = 0.2
"""Extra seconds to find a result that arrived while the process was suspended."""


def in_background(function: Callable[[], _T]) -> Future[_T]:
    """Run ``function`` in its own daemon thread, in the caller's context.

    If no thread can start, as when the interpreter is shutting down, run it at once.
    """
    future: Future[_T] = Future()
    run, args = contextvars.copy_context().run, (_settle, future, function)
    try:
        threading.Thread(target=run, args=args, name="finetune-guard-step", daemon=True).start()
    except RuntimeError:
        _settle(future, function)
    return future


def _settle(future: Future[_T], function: Callable[[], _T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 -- the waiting caller raises it
        future.set_exception(error)
    finally:
        del future  # else the error and this frame would reference each other


async def in_thread(function: Callable[..., _T], *arguments: Any) -> _T:
    """Run ``function`` in a daemon thread and return its result.

    A cancelled task ends at once, while the function continues. Neither the end of the loop nor of the
    program waits for it.
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


def run_with_timeout(timeout: float | None, function: Callable[[], _T]) -> _T:
    """Run ``function`` in a daemon thread, or the caller's if ``timeout`` is None; return its result.

    Raises:
        TimeoutError: It took longer than ``timeout`` seconds, and continues; or there was no time left.
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
    """Return a callback that sets ``done`` from another thread; it ignores a closed loop."""
    loop = asyncio_loop()
    if loop is not None:
        call_soon: Callable[[Callable[[], None]], object] = loop.call_soon_threadsafe
    else:
        import trio  # noqa: PLC0415 -- few programs run under it

        call_soon = trio.lowlevel.current_trio_token().run_sync_soon

    def wake(_: object) -> None:
        with contextlib.suppress(RuntimeError):
            call_soon(done.set)

    return wake


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of the calling task; None under trio, even as a guest of asyncio."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if asyncio.current_task(loop) is not None else None
