"""Measures the longest stall of an event loop while another process locks the store's database.

Each client has its own process, in which a ticker records how late it wakes up. The SDK has made calls
before, so its own lazy imports are not included; the guarded client's first inference and decision are.
The result is the difference from the bare client, since the machine is not idle.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import openai

from finetune_guard import AsyncOpenAI, GuardConfig, Source
from finetune_guard.domain.facts import Activity, Inference
from finetune_guard.stores.disk.store import DiskStore
from isolated import FINE_TUNED, KEY, MESSAGES
from table import Row, print_rows, serving

LOCKED, CALL_EVERY, TICK = 5.0, 0.02, 0.001
RUNS = 5
GOAL = 0.010
WHY = "The longest stretch is that of the first use, when two more threads run code for the first time."


def rows() -> Iterator[Row]:
    """Run both kinds of clients in turns while the database is locked."""
    stalls: dict[str, list[float]] = {"bare": [], "ours": []}
    calls = 0
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        now = datetime.now(timezone.utc)
        inference = Inference(organization="acme-28gund", model=FINE_TUNED, at=now, source=Source.OBSERVED)
        DiskStore(folder).record("acme-28gund", [Activity(inference=inference, counts={now.date(): 1})])
        for kind in ("bare", "ours") * RUNS:
            with _locked(Path(folder, "cache.db")):
                command = [sys.executable, __file__, kind, url, folder]
                found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            stalls[kind].append(found["stall"])
            calls += found["calls"] if kind == "ours" else 0
    alone = median(stalls["bare"])
    added = median(stalls["ours"]) - alone
    quiet = alone <= GOAL
    yield Row(
        f"event loop's worst stall in {LOCKED:.0f} s of a locked database, {calls // RUNS} inferences and "
        "decisions, first use included",
        f"{added * 1e3:+.1f} ms; {_text(stalls['ours'])}",
        f"bare: {_text(stalls['bare'])}",
        f"≤ {GOAL * 1e3:.0f} ms"
        + ("" if quiet else ": not to be told, the bare client alone stands still for longer"),
        added <= GOAL if quiet else None,
        f"{(added - GOAL) * 1e3:.0f} ms too long. {WHY}",
    )


def _text(seconds: list[float]) -> str:
    each = ", ".join(f"{value * 1e3:.1f}" for value in seconds)
    return f"median {median(seconds) * 1e3:.1f} ms of {each}"


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Lock the database in another process, also for readers."""
    command = [sys.executable, __file__, "lock", str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:
        assert locker.stdout is not None
        assert locker.stdin is not None
        assert locker.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            locker.stdin.close()


def _lock(database: str) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    sys.stdin.read()
    connection.rollback()


async def _work(kind: str, url: str, folder: str) -> None:
    warm = openai.AsyncOpenAI(api_key=KEY, base_url=url)
    for _ in range(20):
        await _ask(warm)
    guarded = AsyncOpenAI(
        api_key=KEY, base_url=url, guard=GuardConfig(store=folder, hosts=("127.0.0.1",), on_unknown="allow")
    )
    client: Any = guarded if kind == "ours" else openai.AsyncOpenAI(api_key=KEY, base_url=url)
    lateness: list[float] = []
    ticking = asyncio.create_task(_tick(lateness))
    await asyncio.sleep(0.1)
    lateness.clear()
    ends, calls, asking = time.monotonic() + LOCKED, 0, None
    while time.monotonic() < ends:
        await _ask(client)
        calls += 1
        if kind == "ours" and (asking is None or asking.done()):
            asking = asyncio.create_task(client.guard.check())
        await asyncio.sleep(CALL_EVERY)
    ticking.cancel()
    print(json.dumps({"stall": max(lateness), "calls": calls}), flush=True)
    if asking is not None:
        await asyncio.wait([asking])


async def _ask(client: Any) -> None:
    await client.chat.completions.create(model=FINE_TUNED, messages=MESSAGES)


async def _tick(lateness: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        lateness.append(time.perf_counter() - began - TICK)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print_rows(rows())
    elif sys.argv[1] == "lock":
        _lock(sys.argv[2])
    else:
        asyncio.run(_work(*sys.argv[1:]))
