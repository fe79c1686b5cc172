"""Running a flow for a client: the sync way and the async way, neither of which holds any logic."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import anyio
import anyio.to_thread

from finetune_guard.flows import ApiCall, Flow, Pause, Reply, T


def drive(flow: Flow[T], ask: Callable[[ApiCall], Reply]) -> T:
    """Run ``flow`` to its end in the caller's thread; ``ask`` makes its API calls."""
    step = _advance(flow, None)
    try:
        while not isinstance(step, _Done):
            if isinstance(step, Pause):
                time.sleep(step.duration.total_seconds())
                step = _advance(flow, None)
                continue
            try:
                reply = ask(step)
            except Exception as error:  # noqa: BLE001 -- the flow decides which errors it can handle
                step = _throw(flow, error)
            else:
                step = _advance(flow, reply)
    finally:
        flow.close()
    return step.value


async def drive_async(flow: Flow[T], ask: Callable[[ApiCall], Awaitable[Reply]]) -> T:
    """Run ``flow`` to its end; what it does between API calls happens in a worker thread.

    So no store ever blocks the event loop. A cancellation ends the flow there as well.
    """
    try:
        step = await anyio.to_thread.run_sync(_advance, flow, None)
        while not isinstance(step, _Done):
            if isinstance(step, Pause):
                await anyio.sleep(step.duration.total_seconds())
                step = await anyio.to_thread.run_sync(_advance, flow, None)
                continue
            try:
                reply = await ask(step)
            except Exception as error:  # noqa: BLE001 -- the flow decides which errors it can handle
                step = await anyio.to_thread.run_sync(_throw, flow, error)
            else:
                step = await anyio.to_thread.run_sync(_advance, flow, reply)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(flow.close)
    return step.value


@dataclass(frozen=True)
class _Done(Generic[T]):
    """The flow's end; a StopIteration can't travel through a worker thread or a coroutine."""

    value: T


def _advance(flow: Flow[T], reply: Reply | None) -> ApiCall | Pause | _Done[T]:
    try:
        return flow.send(reply)
    except StopIteration as stop:
        return _Done(stop.value)


def _throw(flow: Flow[T], error: Exception) -> ApiCall | Pause | _Done[T]:
    try:
        return flow.throw(error)
    except StopIteration as stop:
        return _Done(stop.value)
