"""Measures what the guard adds to a call without a network: microseconds and instructions.

Instruction counts are free of noise: each is the difference of two runs that only differ in the number of
calls.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial
from typing import Any

from openai._models import FinalRequestOptions

from finetune_guard import GuardConfig
from isolated import (
    KEY,
    AsyncGuardedIsolated,
    AsyncIsolated,
    Guarded,
    Isolated,
    chat,
    embedding,
    prepare,
)
from paired import AGAIN, BARE, Block, compare
from table import Row, print_rows

CALLS, ROUNDS = 500, 301
COUNTED_CALLS = 20_000
NOTHING = "nothing"
OURS = "ours"
FINE_TUNED_GOAL, OTHER_GOAL = 5e-6, 2e-6
FINE_TUNED_WHY = (
    "Half of it is finding whose the answer is, by the headers of both, and noting the inference; the rest "
    "is standing around three of the SDK's methods, telling what was asked and answered, and whether the "
    "model ends soon."
)
OTHER_WHY = "Every request is told apart twice: before it is sent, and when it is answered."

KINDS: tuple[tuple[str, Callable[[], FinalRequestOptions], int, float | None, str], ...] = (
    ("chat on a fine-tuned model", chat, 1, FINE_TUNED_GOAL, FINE_TUNED_WHY),
    ("chat on a fine-tuned model, every answer of another second", chat, 32, None, ""),
    ("chat on a base model", partial(chat, "gpt-4o-mini-2024-07-18"), 1, OTHER_GOAL, OTHER_WHY),
    ("embedding", embedding, 1, OTHER_GOAL, OTHER_WHY),
)


def rows() -> Iterator[Row]:
    """Measure each kind of call with sync and async clients."""
    with tempfile.TemporaryDirectory() as folder:
        config = GuardConfig(store=folder)
        for flavour, bare, guarded, block in (
            ("sync", Isolated, Guarded, sync_block),
            ("async", AsyncIsolated, AsyncGuardedIsolated, async_block),
        ):
            for kind, make, seconds, goal, why in KINDS:
                options = make()
                clients: dict[str, Any] = {
                    BARE: bare(api_key=KEY),
                    AGAIN: bare(api_key=KEY),
                    OURS: guarded(api_key=KEY, guard=config),
                }
                blocks: dict[str, Block] = {
                    name: block(
                        prepare(client, options, seconds=seconds, at=datetime.now(timezone.utc)), options
                    )
                    for name, client in clients.items()
                }
                blocks[OURS](100)
                clients[OURS]._finetune_guard.flush(30)  # the first write is not measured
                found = compare(blocks, calls=CALLS, rounds=ROUNDS, clock=time.thread_time)
                each = found.each(BARE).median * 1e6
                added, best = found.difference(OURS), found.least_difference(OURS) * 1e6
                yield Row(
                    f"hooks, isolated: {kind}, {flavour}",
                    f"+{added.text(2, factor=1e6, unit=' µs')}; at best +{best:.2f}",
                    f"{found.difference(AGAIN).text(2, factor=1e6, unit=' µs')} on {each:.2f} µs",
                    f"≤ {goal * 1e6:.0f} µs" if goal else "",
                    added.median <= goal if goal else None,
                    f"{(added.median - goal) * 1e6:.2f} µs too long. {why}" if goal else "",
                )


def sync_block(client: Any, options: FinalRequestOptions) -> Block:
    """Return a function that makes calls with a sync client."""

    def block(calls: int) -> None:
        request = client.request
        for _ in range(calls):
            request(object, options)

    return block


def async_block(client: Any, options: FinalRequestOptions) -> Block:
    """Return a function that makes calls with an async client; as they never wait, there is no event loop."""

    async def calling(calls: int) -> None:
        request = client.request
        for _ in range(calls):
            await request(object, options)

    def block(calls: int) -> None:
        try:
            calling(calls).send(None)
        except StopIteration:
            return
        raise AssertionError("an isolated call has waited for something")

    return block


COUNTED: dict[str, tuple[Any, Callable[[], FinalRequestOptions]]] = {
    BARE: (Isolated, chat),
    **{kind: (Guarded, make) for kind, make, seconds, *_ in KINDS if seconds == 1},
}


def instructions() -> Iterator[Row]:
    """Count instructions, if valgrind is installed."""
    if shutil.which("valgrind") is None:
        yield Row("instructions of the hooks", "left out: no valgrind is installed")
        return
    runs = (NOTHING, NOTHING, *COUNTED)
    with ThreadPoolExecutor(2) as pool:
        base, again, *counts = pool.map(_counted, runs)
    bare, *others = ((count - base) / COUNTED_CALLS for count in counts)
    for kind, each in zip(list(COUNTED)[1:], others, strict=True):
        yield Row(
            f"hooks, isolated: {kind}, sync, instructions",
            f"+{each - bare:,.0f} on {bare:,.0f}",
            f"{(again - base) / COUNTED_CALLS:+,.0f}",
        )


def _counted(kind: str) -> int:
    counting = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    ran = subprocess.run(
        [*counting, sys.executable, __file__, kind],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found = re.search(r"Collected : (\d+)", ran.stderr)
    assert found is not None, ran.stderr
    return int(found[1])


def _work(kind: str) -> None:
    """Warm up all kinds of calls, then make the calls of one kind."""
    config = GuardConfig(store="memory")
    blocks = {}
    for name, (make, options) in COUNTED.items():
        given = {"guard": config} if make is Guarded else {}
        client = make(api_key=KEY, **given)
        blocks[name] = sync_block(prepare(client, options(), at=datetime.now(timezone.utc)), options())
        blocks[name](200)
        if make is Guarded:
            client._finetune_guard.flush(60)
            blocks[name](10)
    gc.disable()
    if kind != NOTHING:
        blocks[kind](COUNTED_CALLS)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print_rows(rows())
        print_rows(instructions())
    else:
        _work(sys.argv[1])
        sys.stdout.flush()
        os._exit(0)  # skips the exit, which is not counted
