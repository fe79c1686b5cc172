"""The guard never blocks an event loop, not even when a client is created."""

from __future__ import annotations

import mimetypes

import openai
import pytest

from finetune_guard import GuardConfig, KeepAlive
from tests.client.flavours import ASYNC
from tests.support.constants import BASE, MESSAGES, TRAINING_DATA

blockbuster = pytest.importorskip("blockbuster")


@pytest.mark.anyio
@pytest.mark.parametrize("store", ["disk", "memory"])
async def test_guard_never_blocks_an_event_loop(sim, model, clock, store, tmp_path):
    """BlockBuster raises where a loop's thread would wait for a disk, a lock or a socket."""
    mimetypes.init()  # which the HTTP library else does, with a look at the disk, at the first upload
    http_client = openai.DefaultAsyncHttpxClient()  # the SDK reads certificates when it makes one
    guard = {"store": store, "hosts": [sim.host], "clock": clock, "keep_alive": KeepAlive(background=True)}
    data = ("train.jsonl", TRAINING_DATA * 10)
    with blockbuster.blockbuster_ctx():
        client = ASYNC.guarded(
            base_url=sim.base_url,
            api_key=sim.organization().api_key,
            http_client=http_client,
            guard=GuardConfig(**guard),
        )
        await client.chat.completions.create(model=model, messages=MESSAGES)
        async for _ in await client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            pass
        file = await client.files.create(file=data, purpose="fine-tune")
        job = await client.fine_tuning.jobs.create(model=BASE, training_file=file.id)
        checked = await client.guard.check(refresh=True)
        history = await client.guard.history()
        inventory = await client.guard.models()
        outcome = await client.guard.keep_alive(force=True)
        await client.with_options(max_retries=1).close()
    assert "validating_files" == job.status
    assert ("eligible", {model}) == (checked.verdict, set(history.models))
    assert (True, True) == (inventory.complete, outcome.sent)
