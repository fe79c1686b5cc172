"""Measures decisions for histories of different sizes, and counts their reads of the store."""

from __future__ import annotations

import gc
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from finetune_guard import GuardConfig, OpenAI, Source, Store, Verdict
from finetune_guard.domain.organizations import Subject
from finetune_guard.engine.guard import Guard
from finetune_guard.openai_api.flow import UserCall
from finetune_guard.openai_api.requests import JobCreation
from finetune_guard.stores.disk.store import DiskStore
from isolated import ANSWERED, KEY, NOW, now
from paired import compare
from table import Row, print_rows

SIZES = (1, 10, 100, 1_000, 10_000)
CALLS, ROUNDS = 20, 101
GOAL = 1e-3
FLAT = 1.10
BASE_MODEL = "gpt-4.1-mini-2025-04-14"


class CountedStore(DiskStore):
    """A store that counts the calls of its methods."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: Counter[str] = Counter()

    @property
    def identity(self) -> Any:
        return id(self)  # so that it doesn't share the recorder of a store with the same folder

    def __getattribute__(self, name: str) -> Any:
        if name in Store.__abstractmethods__:
            self.asked[name] += 1
        return super().__getattribute__(name)


def rows() -> Iterator[Row]:
    """Measure decisions for histories with more and more models."""
    with tempfile.TemporaryDirectory() as folder:
        folders = {size: Path(folder, str(size)) for size in SIZES}
        for size, place in folders.items():
            _fill(place, size)
        gc.collect()  # drops the clients that wrote, as in a new program
        yield from _times(folders)
        yield from _reads(folders[SIZES[-1]])


def _fill(folder: Path, models: int) -> None:
    client = _client(DiskStore(folder))
    guard = client._finetune_guard.engine
    subject = Subject("acme-28gund", client._guard_credentials())
    for number in range(models):
        at = NOW + ANSWERED + timedelta(seconds=-number)
        guard.recorder.record(subject, f"ft:gpt-4o-mini-2024-07-18:acme::{number:08}", Source.OBSERVED, at)
    assert guard.recorder.flush(60)


def _client(store: Store) -> Any:
    return OpenAI(api_key=KEY, guard=GuardConfig(store=store, clock=now))


def _check(client: Any) -> None:
    assert client.guard.check().verdict is Verdict.ELIGIBLE


def _authorize(client: Any) -> None:
    guard: Guard = client._finetune_guard.engine
    options = {"admin_key": None, "left": None, "url": "", "may_ask": True}
    authorization = guard.authorization(JobCreation(BASE_MODEL), client._guard_credentials(), **options)
    flow = authorization.admit(_refuse)
    assert isinstance(next(flow), UserCall)
    flow.close()


def _refuse(what: object) -> Any:
    raise AssertionError(f"a decision has failed: {what}")


def _times(folders: dict[int, Path]) -> Iterator[Row]:
    clients = {size: _client(DiskStore(folder)) for size, folder in folders.items()}
    first, last = str(SIZES[0]), str(SIZES[-1])
    for what, decide in (("guard.check()", _check), ("before a job", _authorize)):
        blocks = {str(size): _block(decide, client) for size, client in clients.items()}
        blocks["again"] = blocks[first]
        found = compare(blocks, calls=CALLS, rounds=ROUNDS, clock=time.thread_time)
        slowest = max((found.each(str(size)) for size in SIZES), key=lambda each: each.median)
        yield Row(
            f"a decision, {what}, by a history on disk of 1 to 10,000 models",
            ", ".join(f"{size:,}: {found.each(str(size)).median * 1e3:.3f} ms" for size in SIZES),
            "",
            "≤ 1 ms",
            slowest.median <= GOAL,
            f"{(slowest.median - GOAL) * 1e3:.2f} ms too long.",
        )
        growth = found.ratio(last, first)
        yield Row(
            f"the same, {what}: 10,000 models against 1",
            growth.text(3),
            found.ratio("again", first).text(3),
            f"flat: ≤ {FLAT:.2f}",
            growth.median <= FLAT,
            f"{growth.median - FLAT:.2f} too much.",
        )


def _block(decide: Callable[[Any], None], client: Any) -> Callable[[int], None]:
    def block(calls: int) -> None:
        for _ in range(calls):
            decide(client)

    return block


def _traced(connect: Any, statements: list[str], *args: Any, **kwargs: Any) -> Any:
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(statements.append)
    return connection


def _reads(folder: Path) -> Iterator[Row]:
    for what, decide in (("guard.check()", _check), ("before a job", _authorize)):
        store = CountedStore(folder)
        client = _client(store)
        decide(client)
        first = _text(store.asked)
        store.asked.clear()
        statements: list[str] = []
        with mock.patch.object(sqlite3, "connect", partial(_traced, sqlite3.connect, statements)):
            decide(client)
        reads = sum(store.asked.values())
        selects = sum(statement.lstrip().upper().startswith("SELECT") for statement in statements)
        verbs = ", ".join(statement.split(None, 1)[0] for statement in statements)
        yield Row(
            f"reads of the store for a decision, {what}",
            f"{_text(store.asked)}; SQL: {verbs}",
            "",
            "1 read, 1 SELECT",
            reads == 1 and selects == 1,
            f"{reads - 1} reads and {selects - 1} SELECTs too many.",
        )
        yield Row(f"the same, the first decision of a process, {what}", first)


def _text(asked: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in asked.items())


if __name__ == "__main__":
    print_rows(rows())
