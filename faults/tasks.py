"""Faults: tasks that are cancelled at every await, and trio instead of asyncio."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import types
from collections.abc import Coroutine, Generator
from functools import partial
from itertools import product
from typing import Any

from afterwards import catch_up, row_after, stored
from counting import Tally, ask, run_and_close, run_async
from server import answered
from stage import BARE, GUARDED, KEYS, Stage

from table import Row

_KINDS = (0, 1, 2)  # a plain call, a raw response, a stream


@types.coroutine
def _cancelled_at(
    work: Coroutine[Any, Any, Any], await_number: int, *, late: bool
) -> Generator[Any, Any, Any]:
    """Run ``work`` and cancel its task at an await: at once, or if ``late``, just after the awaited event."""
    task, step, error = asyncio.current_task(), 0, None
    assert task is not None
    while True:
        try:
            future = work.send(None) if error is None else work.throw(error)
        except StopIteration as stop:
            return stop.value
        step, error = step + 1, None
        if step == await_number:
            if late and future is not None:
                future.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        try:
            yield future
        except BaseException as thrown:  # noqa: BLE001 -- work's own
            error = thrown


async def _cut_off(client: Any, number: int, await_number: int, *, late: bool) -> bool | str:
    """Cancel a call at an await; return whether it was cancelled before it ended, or the error it raised."""

    async def call() -> None:
        await _cancelled_at(ask(client, number), await_number, late=late)

    try:
        await asyncio.create_task(call())
    except asyncio.CancelledError:
        return True
    except Exception as error:  # noqa: BLE001 -- it is counted
        return repr(error)
    return False


def cancelled(stage: Stage) -> Row:
    """Cancel calls at their first await, their second, and so on; make a complete call after each."""
    config = stage.config()
    clients = stage.clients(config)
    finished = dict.fromkeys((GUARDED, BARE), 0)

    async def all_of_them() -> tuple[Tally, int, int, str]:
        whole, most, cut, problem, made = Tally(), 0, 0, "", 0
        kept_open = stage.clients(config, asynchronous=True)
        once = {"default_headers": {"Connection": "close"}}
        opened_anew = stage.clients(config, asynchronous=True, **once)
        whole.add(await run_async(kept_open, range(10)))
        held = _held(kept_open[GUARDED])
        while made < stage.calls:
            for clients, kind, late in product((kept_open, opened_anew), _KINDS, (False, True)):
                await_number = 1
                still: bool | str = True
                while still is True:
                    number, made = made // 10 * 10 + kind, made + 2
                    for name in finished:
                        outcome = await _cut_off(clients[name], number, await_number, late=late)
                        finished[name] += outcome is False
                        if name == GUARDED:
                            still, cut = outcome, cut + (outcome is True)
                            problem = problem or (outcome if isinstance(outcome, str) else "")
                    whole.add(await run_async(clients, [made]))
                    most, await_number = max(most, await_number - (still is not True)), await_number + 1
        await asyncio.sleep(0.1)
        left = _held(kept_open[GUARDED]) - held + _held(opened_anew[GUARDED]), len(asyncio.all_tasks()) - 1
        if any(left):
            problem = problem or f"left behind: {left[0]} connections, {left[1]} tasks"
        for client in (*kept_open.values(), *opened_anew.values()):
            await client.close()
        return whole, most, cut, problem

    threads_before = threading.active_count()
    tally, most, cut, problem = asyncio.run(all_of_them())
    problem = problem or catch_up(clients[GUARDED])
    if threading.active_count() > threads_before + 1:  # the recorder's
        problem = problem or f"{threading.active_count()} threads"
    found, served = stored(config.open_store()), answered(stage.port, KEYS[GUARDED])
    least = tally.answered + finished[GUARDED]
    return tally.row(
        f"cancelled at every await of a call (up to {most}), {cut} times, with a whole call after each",
        f"{found.inferences:,}: came back {least:,}, answered by the server {served:,}; nothing left behind",
        caught_up=not problem and least <= found.inferences <= served,
        problem=problem,
    )


def _held(client: Any) -> int:
    return len(client._client._transport._pool.connections)


def trio(stage: Stage) -> Row:
    """Run the async client on trio."""
    what = "trio instead of asyncio"
    if importlib.util.find_spec("trio") is None:
        return Row(what, 0, 0, 0, "not tried: trio is not installed", caught_up=True)
    import trio  # noqa: PLC0415 -- optional

    config = stage.config()
    client = stage.clients(config)[GUARDED]
    clients = stage.clients(config, asynchronous=True)
    tally = trio.run(partial(run_and_close, clients, range(stage.calls), sleep=trio.sleep))
    return row_after(config, tally, what, client=client)


FAULTS = {
    "cancellation": cancelled,
    "trio": trio,
}
