"""Running a flow for a sync or an async client."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import wait
from typing import Any, Generic

import anyio
import openai

from finetune_guard.client.threads import in_background, in_thread
from finetune_guard.logs import warn_caller
from finetune_guard.openai_api.flow import Flow, InParallel, Pause, Reply, Request, Step, T, UserCall, give_up


def drive(
    flow: Flow[T], ask: Callable[[Request], Reply | None], send: Callable[[], Any] | None = None
) -> Any:
    """Run ``flow`` to its end in the caller's thread.

    ``ask`` makes its API calls, and ``send`` the user's own call after the flow's warnings, if it has one.
    """
    steps = _Steps(flow)
    try:
        step = steps.send(None)
        while step is not None:
            reply = None
            try:
                match step:
                    case UserCall():
                        return _issue_warnings(step, send)()
                    case Pause():
                        time.sleep(step.duration.total_seconds())
                    case InParallel():
                        _drive_in_parallel(step, ask)
                    case _:
                        reply = ask(steps.mark_started(step))
            except Exception as error:
                if isinstance(step, UserCall) and not isinstance(error, openai.APIError):
                    raise
                step = steps.throw(error)  # the flow decides which errors it can handle
            else:
                step = steps.send(reply)
    finally:
        steps.close()
    return steps.result


async def drive_async(
    flow: Flow[T],
    ask: Callable[[Request], Awaitable[Reply | None]],
    send: Callable[[], Awaitable[Any]] | None = None,
) -> Any:
    """Run ``flow`` to its end as ``drive`` does, but run its code between calls in a daemon thread.

    So no store ever blocks the event loop. A cancelled task ends at once; another thread then closes the
    flow when its current step is over.
    """
    steps = _Steps(flow)
    try:
        step = await in_thread(steps.send, None)
        while step is not None:
            reply = None
            try:
                match step:
                    case UserCall():
                        return await _issue_warnings(step, send)()
                    case Pause():
                        await anyio.sleep(step.duration.total_seconds())
                    case InParallel():
                        await _drive_in_parallel_async(step, ask)
                    case _:
                        reply = await ask(steps.mark_started(step))
            except Exception as error:
                if isinstance(step, UserCall) and not isinstance(error, openai.APIError):
                    raise
                step = await in_thread(steps.throw, error)  # the flow decides which errors it can handle
            else:
                step = await in_thread(steps.send, reply)
    finally:
        if not steps.is_over:
            in_background(steps.close)
    return steps.result


def _issue_warnings(step: UserCall, send: Callable[[], T] | None) -> Callable[[], T]:
    assert send is not None
    for warning in step.warnings:
        warn_caller(warning)
    return send


def _drive_in_parallel(step: InParallel, ask: Callable[[Request], Reply | None]) -> None:
    """Run the flows in daemon threads, so that Ctrl-C does not wait for them."""
    flows, lock = iter(step.flows), threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not failures:
                with lock:
                    flow = next(flows, None)
                if flow is None:
                    return
                drive(flow, ask)
        except BaseException as error:  # noqa: BLE001 -- the caller raises it
            failures.append(error)

    try:
        wait([in_background(work) for _ in range(step.at_once)])
    except BaseException as error:  # Ctrl-C: no thread takes another flow
        failures.append(error)
        raise
    if failures:
        raise failures[0]


async def _drive_in_parallel_async(
    step: InParallel, ask: Callable[[Request], Awaitable[Reply | None]]
) -> None:
    """Run the flows in tasks."""
    flows: Iterator[Flow[None]] = iter(step.flows)
    failures: list[Exception] = []

    async def work() -> None:
        try:
            for flow in flows:
                await drive_async(flow, ask)
        except Exception as error:  # noqa: BLE001 -- the caller raises it
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(step.at_once):
            tasks.start_soon(work)
    if failures:
        raise failures[0]


class _Steps(Generic[T]):
    """Runs a flow step by step, one step at a time.

    When a task is cancelled, the step it was waiting for continues in its thread; only then can the flow be
    closed. A flow's end is not passed on as StopIteration, which can't cross a thread or a coroutine.
    """

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self.is_over = False
        self._is_started = True
        self._flow = flow
        self._lock = threading.Lock()

    def send(self, reply: Reply | None) -> Step | None:
        return self._next(lambda: self._flow.send(reply))

    def throw(self, error: Exception) -> Step | None:
        return self._next(lambda: self._flow.throw(error))

    def mark_started(self, call: Request) -> Request:
        self._is_started = True
        return call

    def close(self) -> None:
        with self._lock:
            self.is_over = True
            if self._is_started:
                self._flow.close()
            else:
                give_up(self._flow)

    def _next(self, step: Callable[[], Step]) -> Step | None:
        with self._lock:
            self._is_started = True  # an interrupted step is not a call that was never made
            try:
                next_step = step()
            except BaseException as error:
                self.is_over = True
                if not isinstance(error, StopIteration):
                    raise
                self.result = error.value
                return None
            self._is_started = False
            return next_step
