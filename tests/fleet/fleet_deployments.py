"""Work for the processes of a fleet that keep a deployment alive; importable from other processes."""

from __future__ import annotations

import anyio

import finetune_guard
from finetune_guard import GuardConfig, KeepAlive
from tests.support.azure import AZURE, KEY


def config(location, now, **fields):
    """A configuration of one's own, as each process makes it; ``now`` returns the time."""
    return GuardConfig(store=location, clock=now, policies=(AZURE,), **fields)


def keep_alive_day_by_day(endpoint, location, name, is_async, pipe):
    """Be told the time again and again, keep the deployment alive, and tell what came of it."""
    times = [None]
    options = {
        "base_url": f"{endpoint}/openai/v1/",
        "api_key": KEY,
        "guard": config(location, lambda: times[-1], keep_alive=KeepAlive(deployments=[name])),
    }

    async def keep_async():
        async with finetune_guard.AsyncOpenAI(**options) as client:
            while (now := await anyio.to_thread.run_sync(pipe.recv)) is not None:
                times.append(now)
                pipe.send([outcome.sent for outcome in await client.guard.keep_deployments()])

    if is_async:
        anyio.run(keep_async)
        return
    with finetune_guard.OpenAI(**options) as client:
        while (now := pipe.recv()) is not None:
            times.append(now)
            pipe.send([outcome.sent for outcome in client.guard.keep_deployments()])
