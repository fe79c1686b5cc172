"""The history when a fault is over: whether it holds what it should."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from counting import ask, both_halves
from listening import listening, summary
from stage import GUARDED, Stage

import finetune_guard
from finetune_guard import GuardConfig, Store, StoreError
from server import ORGANIZATION
from table import Row

CATCH_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Stored:
    """What a store holds when everything is over.

    Attributes:
        inferences: How many inferences it has counted.
        models: How many models it knows.
        last: When the latest was, in seconds since 1970.
    """

    inferences: int
    models: int
    last: float


def stored(store: Store) -> Stored:
    """Return what is in ``store``, read anew.

    Raises:
        StoreError: It can't be read.
    """
    store.close()
    history = store.history(ORGANIZATION)
    counted = sum(count for day in history.daily.values() for count in day.values())
    last = history.last_inference
    store.close()
    return Stored(counted, len(history.models), last.at.timestamp() if last else 0.0)


@contextmanager
def begun(stage: Stage, config: GuardConfig) -> Iterator[tuple[Any, int]]:
    """Give a guarded client whose history is begun and written, and how many inferences that holds."""
    client = stage.client(finetune_guard.OpenAI, GUARDED, guard=config)
    numbers = range(10_000_000, 10_000_000 + 20)
    for number in numbers:
        ask(client, number)
    client.guard.flush(CATCH_UP_SECONDS)
    try:
        yield client, len(numbers)
    finally:
        client.close()


def catch_up(client: Any, seconds: float = CATCH_UP_SECONDS) -> str:
    """Let a client write what it has seen; return what kept it from that, if anything."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.guard.flush(5.0)
        except StoreError as error:
            if time.monotonic() > deadline:
                return f"{error} ({error.__cause__!r})"[:300]
            time.sleep(0.2)
        else:
            return ""


def compared(
    stage: Stage,
    fault: Callable[[], Any],
    what: str,
    *,
    config: GuardConfig | None = None,
    pace: float = 0.0,
    kept: bool = True,
) -> Row:
    """Make the calls while ``fault()``, a context manager, lasts; let the history catch up and count it.

    Args:
        stage: Where.
        fault: Makes what goes wrong, and ends it.
        what: What the table calls it.
        config: How ours is guarded; by default with a history on disk.
        pace: Seconds between two calls.
        kept: Whether what was known before is still to be there.
    """
    config = config or stage.config()
    with begun(stage, config) as (client, before):
        with listening() as said, fault():
            tally = both_halves(stage, config, pace=pace)
        logged = summary(said)
        began = time.monotonic()
        problem = catch_up(client)
        waited = time.monotonic() - began
        found, problem = _found(partial(stored, config.open_store()), problem)
    most, least = tally.answered + before, tally.answered + (before if kept else 0)
    history = f"{found.inferences:,} of {most:,}, {waited:.1f} s later"
    if found.inferences == least < most:
        history += f" (the fault destroyed {before})"
    is_right = not problem and least <= found.inferences <= most
    return tally.row(what, history, caught_up=is_right, problem=problem, logged=logged)


def _found(read: Callable[[], Stored], problem: str) -> tuple[Stored, str]:
    try:
        return read(), problem
    except StoreError as error:
        return Stored(0, 0, 0.0), problem or str(error)
