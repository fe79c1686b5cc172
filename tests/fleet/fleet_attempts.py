"""Everything by which users send a keep-alive, many at once, in one process of a fleet."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import anyio.to_thread

import finetune_guard
from finetune_guard import KeepAlive
from tests.fleet.fleet_worker import PATIENCE
from tests.support.constants import BASE

ASKED, CREATED, LOOKED = "asked", "created", "looked"
SHARES = {ASKED: 12, CREATED: 10, LOOKED: 3}
"""How often each is done by the sync half, and as often by the async one."""

ON_CALL = KeepAlive(deadline="10m")
BEHIND = KeepAlive(deadline="10m", background=True)


def attempt(stage, file, barrier, results):
    """Make fifty attempts at the same moment as all other processes; give back what came of each."""
    with ExitStack() as clients, ThreadPoolExecutor(sum(SHARES.values()) + 1) as threads:
        go = threading.Event()
        asking = clients.enter_context(stage.connect(finetune_guard.OpenAI, keep_alive=ON_CALL))
        works = [partial(_ask, asking)] * SHARES[ASKED] + [partial(_create, asking, file)] * SHARES[CREATED]
        works += [
            partial(_look, clients.enter_context(stage.connect(finetune_guard.OpenAI, keep_alive=BEHIND)))
            for _ in range(SHARES[LOOKED])
        ]
        running = [threads.submit(_when, go, work) for work in works]
        others = threads.submit(asyncio.run, _attempt_async(stage, file, go))
        barrier.wait(PATIENCE)
        go.set()
        found = [each.result() for each in running] + others.result()
    results.send(found)


async def _attempt_async(stage, file, go):
    async with AsyncExitStack() as clients:
        asking = await clients.enter_async_context(
            stage.connect(finetune_guard.AsyncOpenAI, keep_alive=ON_CALL)
        )
        works = [_ask_async(asking) for _ in range(SHARES[ASKED])]
        works += [_create_async(asking, file) for _ in range(SHARES[CREATED])]
        for _ in range(SHARES[LOOKED]):
            client = stage.connect(finetune_guard.AsyncOpenAI, keep_alive=BEHIND)
            works.append(_look_async(await clients.enter_async_context(client)))
        await anyio.to_thread.run_sync(go.wait)
        return await asyncio.gather(*(_caught(work) for work in works))


def _when(go, work):
    go.wait()
    try:
        return work()
    except Exception as error:  # noqa: BLE001 -- it is what the test wants to know
        return "failed", repr(error)


async def _caught(work):
    try:
        return await work
    except Exception as error:  # noqa: BLE001 -- as above
        return "failed", repr(error)


def told(outcome):
    """What an outcome says, as one word."""
    return "sent" if outcome.sent else outcome.reason.value


def _ask(client):
    return ASKED, told(client.guard.keep_alive())


def _create(client, file):
    return CREATED, client.fine_tuning.jobs.create(model=BASE, training_file=file).status


def _look(client):
    """Have the background begin by another request, and wait until it has checked."""
    client.files.list()
    while not _has_looked(client):
        time.sleep(0.02)
    return LOOKED, client.guard.check().verdict.value


async def _ask_async(client):
    return ASKED, told(await client.guard.keep_alive())


async def _create_async(client, file):
    return CREATED, (await client.fine_tuning.jobs.create(model=BASE, training_file=file)).status


async def _look_async(client):
    await client.files.list()
    while not _has_looked(client):  # noqa: ASYNC110 -- nothing tells when a background sleeps
        await asyncio.sleep(0.02)
    return LOOKED, (await client.guard.check()).verdict.value


def _has_looked(client):
    background = client._finetune_guard.background
    return background is not None and any(each.next_at for each in list(background._checks.values()))
