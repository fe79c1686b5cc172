"""What the guard adds around a call, without a network: microseconds more than the bare client."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
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
    now,
    prepare,
)
from paired import AGAIN, BARE, Block, compare
from table import Row, tell

CALLS, ROUNDS = 500, 301
OURS = "ours"
FINE_TUNED_GOAL, OTHER_GOAL = 5e-6, 2e-6
FINE_TUNED_WHY = (
    "Looking through the headers of answer and request takes 1.1 µs, standing around two of the SDK's methods"
    " 0.8, noting the inference 0.7, telling what was asked and answered 0.7, finding whose it is 0.5;"
    " the rest tells the time, and whether the model ends soon."
)
OTHER_WHY = "Every request is told apart twice: before it is sent, and when it is answered."

KINDS: tuple[tuple[str, Callable[[], FinalRequestOptions], int, float | None, str], ...] = (
    ("chat on a fine-tuned model", chat, 1, FINE_TUNED_GOAL, FINE_TUNED_WHY),
    ("chat on a fine-tuned model, every answer of another second", chat, 64, None, ""),
    ("chat on a base model", partial(chat, "gpt-4o-mini-2024-07-18"), 1, OTHER_GOAL, OTHER_WHY),
    ("embedding", embedding, 1, OTHER_GOAL, OTHER_WHY),
)


def rows() -> Iterator[Row]:
    """Measure each kind of call with each flavour of client."""
    with tempfile.TemporaryDirectory() as folder:
        config = GuardConfig(store=folder, clock=now)
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
                    name: block(prepare(client, options, seconds=seconds), options)
                    for name, client in clients.items()
                }
                blocks[OURS](100)
                clients[OURS]._finetune_guard.flush(30)  # what is measured isn't the first write
                found = compare(blocks, calls=CALLS, rounds=ROUNDS, clock=time.thread_time)
                each = found.each(BARE).median * 1e6
                added, best = found.difference(OURS), found.least_difference(OURS) * 1e6
                yield Row(
                    f"hooks, isolated: {kind}, {flavour}",
                    f"+{added.told(2, factor=1e6, unit=' µs')}; at best +{best:.2f}",
                    f"{found.difference(AGAIN).told(2, factor=1e6, unit=' µs')} on {each:.2f} µs",
                    f"≤ {goal * 1e6:.0f} µs" if goal else "",
                    added.median <= goal if goal else None,
                    f"{(added.median - goal) * 1e6:.2f} µs too long. {why}" if goal else "",
                )


def sync_block(client: Any, options: FinalRequestOptions) -> Block:
    """Return what makes calls of a sync client."""

    def block(calls: int) -> None:
        request = client.request
        for _ in range(calls):
            request(object, options)

    return block


def async_block(client: Any, options: FinalRequestOptions) -> Block:
    """Return what makes calls of an async client; they never wait, so no event loop is needed."""

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


if __name__ == "__main__":
    tell(rows())
