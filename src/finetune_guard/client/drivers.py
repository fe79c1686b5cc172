"""Running a flow for a client: the sync way and the async way, neither of which holds any logic."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Generic

import anyio

from finetune_guard.client.threads import in_thread
from finetune_guard.openai_api.flow import ApiCall, Flow, Pause, Reply, T


def drive(flow: Flow[T], ask: Callable[[ApiCall], Reply]) -> T:
    """Run ``flow`` to its end in the caller's thread; ``ask`` makes its API calls."""
    steps = _Steps(flow)
    step = steps.send(None)
    try:
        while not isinstance(step, _Done):
            if isinstance(step, Pause):
                time.sleep(step.duration.total_seconds())
                step = steps.send(None)
                continue
            try:
                reply = ask(step)
            except Exception as error:  # noqa: BLE001 -- the flow decides which errors it can handle
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    finally:
        steps.close()
    return step.value


async def drive_async(flow: Flow[T], ask: Callable[[ApiCall], Awaitable[Reply]]) -> T:
    """Run ``flow`` to its end; what it does between API calls happens in a worker thread.

    So no store ever blocks the event loop. A cancellation ends the flow there as well.
    """
    steps = _Steps(flow)
    try:
        step = await in_thread(steps.send, None)
        while not isinstance(step, _Done):
            if isinstance(step, Pause):
                await anyio.sleep(step.duration.total_seconds())
                step = await in_thread(steps.send, None)
                continue
            try:
                reply = await ask(step)
            except Exception as error:  # noqa: BLE001 -- the flow decides which errors it can handle
                step = await in_thread(steps.throw, error)
            else:
                step = await in_thread(steps.send, reply)
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(steps.close)
    return step.value


class _Done(Generic[T]):
    """The flow's end; a StopIteration can't travel through a worker thread or a coroutine."""

    def __init__(self, value: T) -> None:
        self.value = value


class _Steps(Generic[T]):
    """The steps of a flow, one at a time.

    When a task is cancelled the step that it waited for goes on in its thread; the flow can be closed,
    and let go of what it holds, only after that.
    """

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self._one_at_a_time = threading.Lock()

    def send(self, reply: Reply | None) -> ApiCall | Pause | _Done[T]:
        with self._one_at_a_time:
            try:
                return self._flow.send(reply)
            except StopIteration as stop:
                return _Done(stop.value)

    def throw(self, error: Exception) -> ApiCall | Pause | _Done[T]:
        with self._one_at_a_time:
            try:
                return self._flow.throw(error)
            except StopIteration as stop:
                return _Done(stop.value)

    def close(self) -> None:
        with self._one_at_a_time:
            self._flow.close()
