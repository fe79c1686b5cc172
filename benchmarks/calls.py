"""Measures chat calls against a local server, as a ratio to the bare client's time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import openai

from finetune_guard import AsyncOpenAI, GuardConfig, OpenAI
from isolated import FINE_TUNED, KEY, MESSAGES
from paired import AGAIN, BARE, Block, Comparison, compare_by
from table import Row, print_rows, serving

ROUNDS = 121
OURS = "ours"
GOAL = 1.02
WHY = (
    "In place the same steps take several times what they take isolated: they are 1 % of the instructions of "
    "a call, but the processor's caches are cold after each answer, and what they touch is one eighth of all "
    "that is not in its second cache."
)


def rows() -> Iterator[Row]:
    """Measure plain and streamed calls, sync and async."""
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        for what, stream, bare, ours, make in (
            ("sync", False, openai.OpenAI, OpenAI, sync_block),
            ("sync, streamed", True, openai.OpenAI, OpenAI, sync_block),
            ("async", False, openai.AsyncOpenAI, AsyncOpenAI, async_block),
            ("async, streamed", True, openai.AsyncOpenAI, AsyncOpenAI, async_block),
        ):
            guard = GuardConfig(store=folder, hosts=("127.0.0.1",))
            clients: dict[str, Any] = {
                BARE: bare(api_key=KEY, base_url=url),
                AGAIN: bare(api_key=KEY, base_url=url),
                OURS: ours(api_key=KEY, base_url=url, guard=guard),
            }
            assert clients[OURS].guard.active
            found = in_place({name: make(client, stream=stream) for name, client in clients.items()}, stream)
            yield row(f"chat call in place on a fine-tuned model, {what}", found, OURS)


def in_place(blocks: dict[str, Block], stream: bool = False) -> tuple[Comparison, ...]:
    """Compare calls by the CPU time of this process and by wall time."""
    clocks = (time.process_time, time.perf_counter)
    return compare_by(clocks, blocks, calls=5 if stream else 10, rounds=ROUNDS)


def row(what: str, found: tuple[Comparison, ...], name: str, goal: float | None = GOAL) -> Row:
    """Return the row of one contestant.

    The goal applies to the CPU time, which is less noisy than wall time and stricter, since it leaves out the
    server.
    """
    cpu, passed = found
    ratio, each = cpu.ratio(name), cpu.each(BARE).median * 1e6
    added = cpu.difference(name).text(0, factor=1e6, unit=" µs")
    return Row(
        what,
        f"CPU {ratio.text(3)}: {added} on {each:.0f} µs; time {passed.ratio(name).text(3)}",
        f"CPU {cpu.ratio(AGAIN).text(3)}; time {passed.ratio(AGAIN).text(3)}",
        f"ratio ≤ {goal}" if goal else "",
        ratio.median <= goal if goal else None,
        f"{(ratio.median - goal) * 100:.1f} % too much. {WHY}" if goal else "",
    )


def sync_block(client: Any, *, stream: bool) -> Block:
    """Return a function that makes calls with a sync client, and reads streams to their end."""
    create = client.chat.completions.create

    def block(calls: int) -> None:
        for _ in range(calls):
            answer = create(model=FINE_TUNED, messages=MESSAGES, stream=stream)
            if stream:
                for _chunk in answer:
                    pass

    return block


_loop = asyncio.new_event_loop()


def async_block(client: Any, *, stream: bool) -> Block:
    """Return a function that makes calls with an async client, one after the other."""
    create = client.chat.completions.create

    async def calling(calls: int) -> None:
        for _ in range(calls):
            answer = await create(model=FINE_TUNED, messages=MESSAGES, stream=stream)
            if stream:
                async for _chunk in answer:
                    pass
        await asyncio.sleep(0)  # the SDK's generators end a little later than its streams

    def block(calls: int) -> None:
        _loop.run_until_complete(calling(calls))

    return block


if __name__ == "__main__":
    print_rows(rows())
