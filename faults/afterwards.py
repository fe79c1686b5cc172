"""Checks the history after a fault, and captures the guard's warnings during it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from counting import Tally, ask, run_both_kinds, run_sync
from server import ORGANIZATION
from stage import GUARDED, Stage

import finetune_guard
from finetune_guard import GuardConfig, Store, StoreError
from table import Row

CATCH_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Stored:
    """The content of a store: the number of inferences and models, and the latest inference's Unix time."""

    inferences: int = 0
    models: int = 0
    last: float = 0.0


def stored(store: Store) -> Stored:
    """Read the content of ``store`` after reopening it.

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
def started_client(stage: Stage, config: GuardConfig) -> Iterator[tuple[Any, int]]:
    """Yield a guarded client with a written history, and the number of inferences in it."""
    client = stage.client(finetune_guard.OpenAI, GUARDED, guard=config)
    numbers = range(10_000_000, 10_000_000 + 20)
    for number in numbers:
        run_sync(ask(client, number))
    client.guard.flush(CATCH_UP_SECONDS)
    try:
        yield client, len(numbers)
    finally:
        client.close()


def catch_up(client: Any, seconds: float = CATCH_UP_SECONDS) -> str:
    """Flush a client until that succeeds; return the error if it doesn't in time."""
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


def row_during(
    stage: Stage,
    fault: Callable[[], Any],
    what: str,
    *,
    config: GuardConfig | None = None,
    pace: float = 0.0,
    kept: bool = True,
) -> Row:
    """Make the calls during ``fault()``, a context manager; then flush the history and check its count.

    ``kept`` says whether the earlier history must survive.
    """
    config = config or stage.config()
    with started_client(stage, config) as (client, before):
        with capture_warnings() as said, fault():
            tally = run_both_kinds(stage, config, pace=pace)
        began = time.monotonic()
        problem = catch_up(client)
        waited = time.monotonic() - began
        try:
            found = stored(config.open_store())
        except StoreError as error:
            found, problem = Stored(), problem or str(error)
    most, least = tally.answered + before, tally.answered + (before if kept else 0)
    history = f"{found.inferences:,} of {most:,}, {waited:.1f} s later"
    if found.inferences == least < most:
        history += f" (the fault destroyed {before})"
    is_right = not problem and least <= found.inferences <= most
    return tally.row(what, history, caught_up=is_right, problem=problem, logged=summary(said))


def row_after(
    config: GuardConfig,
    tally: Tally,
    what: str,
    *,
    client: Any = None,
    before: int = 0,
    problem: str = "",
    logged: str = "",
    rounds: Sequence[Tally] = (),
) -> Row:
    """Return the row of a fault after which the history must have every answered inference.

    Flushes ``client`` first. Before the fault the history had ``before`` inferences.
    """
    problem = problem or (catch_up(client) if client is not None else "")
    found, sent = stored(config.open_store()).inferences, tally.answered + before
    history, is_right = f"{found:,} of {sent:,}", not problem and found == sent
    return tally.row(what, history, caught_up=is_right, problem=problem, logged=logged, rounds=rounds)


_LONGEST = 80


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def capture_warnings() -> Iterator[list[str]]:
    """Yield the list of warnings that the guard logs meanwhile."""
    listener, logger = _Listener(), logging.getLogger("finetune_guard")
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.said
    finally:
        logger.removeHandler(listener)


def summary(said: list[str]) -> str:
    """Return the first warning, without its location, and the number of warnings."""
    if not said:
        return "nothing"
    cause = re.search(r"Could not [^:]*?(?: in '[^']*'| at \S*)?: (.*?)\. [A-Z]", said[0])
    first = cause[1] if cause else re.sub(r"'[^']*'", "the folder", said[0]).partition(". ")[0]
    first = re.sub(r": b['\"].*", "", first)  # the unreadable data
    first = first if len(first) <= _LONGEST else first[:_LONGEST] + "…"
    return first if len(said) == 1 else f"{first} ({len(said)} warnings)"
