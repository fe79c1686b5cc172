"""Measures memory, threads and files after many clients were dropped, and after many inferences."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import openai

from finetune_guard import GuardConfig, OpenAI
from isolated import KEY, Guarded, Isolated, chat, now, prepare
from table import Row, print_rows

CLIENTS, ALONE = 10_000, 1_000
INFERENCES, MODELS = 1_000_000, 100
FLAT = 1024 * 1024
"""Bytes that are not counted, since allocators keep some memory."""

FEW = 500
"""Objects that are not counted: a leak of one per client would be thousands."""

http_client: Any = openai.DefaultHttpxClient()  # shared, so that it is not measured


class State(NamedTuple):
    """The resources of a process."""

    objects: Counter[str]
    threads: int
    files: int
    resident: int


def rows() -> Iterator[Row]:
    """Create and drop clients in several ways; then make many inferences with one."""
    with tempfile.TemporaryDirectory() as folder:
        config = GuardConfig(store=folder, clock=now)
        parent = OpenAI(api_key=KEY, http_client=http_client, guard=config)

        def ours() -> object:
            return OpenAI(api_key=KEY, http_client=http_client, guard=GuardConfig(store=folder))

        def copies(parent: OpenAI = parent) -> object:
            return parent.with_options(timeout=5)

        def used() -> object:
            client = _with_response(Guarded(api_key=KEY, http_client=http_client, guard=config))
            return client.request(object, CHAT)

        def bare() -> object:
            return openai.OpenAI(api_key=KEY, http_client=http_client)

        before = _after(bare)
        for what, make in (
            ("clients made and dropped", ours),
            ("copies by with_options made and dropped", copies),
            ("clients made, used for an inference and dropped", used),
        ):
            yield _row(f"{CLIENTS:,} {what}", _after(make), before)
        del parent, copies, make, what
        what = f"{ALONE:,} clients, each the only one of its store, used and dropped"
        yield _row(what, _after(used, ALONE), before)
        yield _inferences(Path(folder, "many"))


CHAT = chat()
_RESPONSES = prepare(Isolated(api_key=KEY, http_client=http_client), CHAT).responses


def _with_response(client: Any) -> Any:
    client.responses = _RESPONSES
    return client


def _after(make: Callable[[], object], count: int = CLIENTS) -> tuple[State, State]:
    """Return the state before and after ``count`` objects were created and dropped.

    Do the same once before that, to exclude what a first write imports and opens, and the memory of threads
    that end at the same time.
    """
    for _ in range(count):
        make()
    _state()  # it waits for the writers
    before = _state()
    for _ in range(count):
        make()
    return before, _state()


def _state() -> State:
    for _ in range(3):
        gc.collect()
    until = time.monotonic() + 10
    while time.monotonic() < until and _writers() > 1:  # a dropped client's thread still flushes
        time.sleep(0.05)
    gc.collect()
    counted = Counter(type(each).__name__ for each in gc.get_objects())
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208 -- a count
    return State(counted, threading.active_count(), files, resident())


def _writers() -> int:
    return sum(thread.name.startswith("finetune-guard") for thread in threading.enumerate())


def resident() -> int:
    """Return the resident memory of this process in bytes; 0 if unknown."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def _row(what: str, ours: tuple[State, State], bare: tuple[State, State]) -> Row:
    growth, bare_growth = _growth(*ours), _growth(*bare)
    objects = sum(growth.objects.values())
    most = (
        ", ".join(f"{count} {name}" for name, count in growth.objects.most_common(3)) if objects > FEW else ""
    )
    return Row(
        what,
        f"{_text(growth)}{f' ({most})' if most else ''}",
        f"bare: {_text(bare_growth)}",
        "nothing left, memory flat",
        objects <= FEW and growth.threads <= 0 and growth.files <= 0 and growth.resident <= FLAT,
        "What is left stands in the figure.",
    )


def _growth(before: State, after: State) -> State:
    objects = Counter(after.objects)
    objects.subtract(before.objects)
    return State(
        Counter({name: count for name, count in objects.items() if count}),
        after.threads - before.threads,
        after.files - before.files,
        after.resident - before.resident,
    )


def _text(growth: State) -> str:
    return (
        f"{sum(growth.objects.values()):+} objects, {growth.threads:+} threads, {growth.files:+} files, "
        f"{growth.resident / 1024:+,.0f} KiB"
    )


def _inferences(folder: Path) -> Row:
    client = prepare(Guarded(api_key=KEY, guard=GuardConfig(store=folder, clock=now)), chat(), seconds=64)
    calls = cycle([chat(f"ft:gpt-4o-mini-2024-07-18:acme::{number:04}") for number in range(MODELS)])
    sizes = []
    for _ in range(11):  # the first tenth warms up
        for _ in range(INFERENCES // 10):
            client.request(object, next(calls))
        gc.collect()
        sizes.append(resident())
    client.guard.flush(timeout=30)
    history = client.guard.history()
    counted = sum(sum(counts.values()) for counts in history.daily.values())
    growth = sizes[-1] - sizes[0]
    return Row(
        f"memory after {INFERENCES:,} more inferences on {MODELS} models",
        f"{growth / 1024:+,.0f} KiB; {counted:,} counted on {len(history.models)} models",
        "",
        "flat",
        growth <= FLAT and counted == INFERENCES // 10 * 11,
        "What is left stands in the figure.",
    )


if __name__ == "__main__":
    print_rows(rows())
