"""Many threads, and many tasks, on one client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from afterwards import catch_up, stored
from counting import Tally, run, run_async
from stage import GUARDED, Stage

from table import Row

AT_ONCE = 64


def threads(stage: Stage) -> Row:
    """Use one client in 64 threads at once."""
    config = stage.config()
    clients = stage.sync(config)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tally = _joined(pool.map(partial(run, clients), _shares(stage)))
    return _row(stage, clients[GUARDED], tally, f"{AT_ONCE} threads on one client")


def tasks(stage: Stage) -> Row:
    """Use one client in 64 tasks at once."""
    config = stage.config()
    clients = stage.sync(config)

    async def all_at_once() -> Tally:
        clients = stage.asynchronous(config)
        found = await asyncio.gather(*(run_async(clients, share) for share in _shares(stage)))
        for client in clients.values():
            await client.close()
        return _joined(iter(found))

    return _row(stage, clients[GUARDED], asyncio.run(all_at_once()), f"{AT_ONCE} tasks on one async client")


def _shares(stage: Stage) -> list[range]:
    return [range(first, stage.calls, AT_ONCE) for first in range(AT_ONCE)]


def _joined(tallies: Iterator[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def _row(stage: Stage, client: object, tally: Tally, what: str) -> Row:
    problem = catch_up(client)
    found = stored(stage.config().open_store())
    is_right = not problem and found.inferences == tally.answered
    return tally.row(what, f"{found.inferences:,} of {tally.answered:,}", caught_up=is_right, problem=problem)


FAULTS = {
    "threads": threads,
    "tasks": tasks,
}
