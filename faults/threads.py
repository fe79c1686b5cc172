"""Faults: many threads or tasks that use one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from afterwards import row_after
from counting import Tally, run, run_async, sum_tallies
from stage import GUARDED, Stage

from finetune_guard import GuardConfig
from table import Row

AT_ONCE = 64
ROUNDS = 10
_EACH = 3


def threads(stage: Stage) -> Row:
    """Use one client in 64 threads at the same time."""
    config = stage.config()

    def once(shares: list[range]) -> Tally:
        clients = stage.clients(config)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = sum_tallies(pool.map(partial(run, clients), shares))
        for client in clients.values():
            client.close()
        return found

    return _row(stage, config, once, f"{AT_ONCE} threads on one client, {ROUNDS} times")


def tasks(stage: Stage) -> Row:
    """Use one client in 64 tasks at the same time."""
    config = stage.config()

    async def all_at_once(shares: list[range]) -> Tally:
        clients = stage.clients(config, asynchronous=True)
        found = await asyncio.gather(*(run_async(clients, share) for share in shares))
        for client in clients.values():
            await client.close()
        return sum_tallies(found)

    def once(shares: list[range]) -> Tally:
        return asyncio.run(all_at_once(shares))

    return _row(stage, config, once, f"{AT_ONCE} tasks on one async client, {ROUNDS} times")


def _row(stage: Stage, config: GuardConfig, once: Callable[[list[range]], Tally], what: str) -> Row:
    firsts = range(0, ROUNDS * AT_ONCE * _EACH, _EACH)
    shares = [range(first, first + _EACH) for first in firsts]
    rounds = [once(shares[at : at + AT_ONCE]) for at in range(0, len(shares), AT_ONCE)]
    client = stage.clients(config)[GUARDED]
    return row_after(config, sum_tallies(rounds), what, client=client, rounds=rounds)


FAULTS = {
    "threads": threads,
    "tasks": tasks,
}
