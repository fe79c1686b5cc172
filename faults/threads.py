"""Many threads, and many tasks, on one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from afterwards import catch_up, stored
from counting import Tally, run, run_async
from stage import GUARDED, Stage

from finetune_guard import GuardConfig
from table import Row

AT_ONCE = 64
ROUNDS = 10
_EACH = 3


def threads(stage: Stage) -> Row:
    """Use one client in 64 threads at once."""
    config = stage.config()

    def once(shares: list[range]) -> Tally:
        clients = stage.sync(config)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = _joined(pool.map(partial(run, clients), shares))
        for client in clients.values():
            client.close()
        return found

    return _row(stage, config, once, f"{AT_ONCE} threads on one client, {ROUNDS} times")


def tasks(stage: Stage) -> Row:
    """Use one client in 64 tasks at once."""
    config = stage.config()

    async def all_at_once(shares: list[range]) -> Tally:
        clients = stage.asynchronous(config)
        found = await asyncio.gather(*(run_async(clients, share) for share in shares))
        for client in clients.values():
            await client.close()
        return _joined(found)

    def once(shares: list[range]) -> Tally:
        return asyncio.run(all_at_once(shares))

    return _row(stage, config, once, f"{AT_ONCE} tasks on one async client, {ROUNDS} times")


def _joined(tallies: Iterable[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def _row(stage: Stage, config: GuardConfig, once: Callable[[list[range]], Tally], what: str) -> Row:
    rounds = []
    for number in range(ROUNDS):
        first = number * AT_ONCE * _EACH
        rounds.append(
            once([range(first + share * _EACH, first + (share + 1) * _EACH) for share in range(AT_ONCE)])
        )
    tally = _joined(rounds)
    problem = catch_up(stage.sync(config)[GUARDED])
    found = stored(config.open_store())
    history, is_right = f"{found.inferences:,} of {tally.answered:,}", found.inferences == tally.answered
    return tally.row(what, history, caught_up=not problem and is_right, problem=problem, rounds=rounds)


FAULTS = {
    "threads": threads,
    "tasks": tasks,
}
