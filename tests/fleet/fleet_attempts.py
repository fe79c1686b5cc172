"""Concurrent keep-alives in one process of a fleet, sent in every way that users can."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import anyio
import anyio.to_thread

from finetune_guard import KeepAlive, StoreError
from finetune_guard.stores.open import open_store
from tests.client.flavours import ASYNC, SYNC, create_job, done, entered
from tests.fleet.fleet_worker import PATIENCE

ASKED, CREATED, LOOKED = "asked", "created", "looked"
SHARES = {ASKED: 12, CREATED: 10, LOOKED: 3}
"""How often each is done by the sync half, and as often by the async one."""

ON_CALL = KeepAlive(deadline="10m")
BEHIND = KeepAlive(deadline="10m", background=True)
IMPATIENT = KeepAlive(deadline="0.5s")
THREADS = 16


def result_word(outcome):
    """The outcome as one word."""
    return "sent" if outcome.sent else outcome.reason.value


def attempt(stage, file, barrier, results):
    """Make fifty attempts at the same moment as all other processes; give back what came of each."""
    go = threading.Event()
    with ThreadPoolExecutor(2) as halves:
        running = [
            halves.submit(asyncio.run, _attempts(flavour, stage, file, go)) for flavour in (SYNC, ASYNC)
        ]
        barrier.wait(PATIENCE)
        go.set()
        results.send([result for half in running for result in half.result()])


async def _attempts(flavour, stage, file, go):
    async with AsyncExitStack() as clients:
        asking = await clients.enter_async_context(
            entered(stage.connect(flavour.guarded, keep_alive=ON_CALL))
        )
        works = [(_ask, asking)] * SHARES[ASKED] + [(_create, asking, file)] * SHARES[CREATED]
        for _ in range(SHARES[LOOKED]):
            client = stage.connect(flavour.guarded, keep_alive=BEHIND)
            works.append((_run_background, await clients.enter_async_context(entered(client))))
        if flavour.is_async:
            await anyio.to_thread.run_sync(go.wait)
            return await asyncio.gather(*(_caught(*work) for work in works))
        with ThreadPoolExecutor(len(works)) as threads:
            go.wait()
            return list(threads.map(lambda work: asyncio.run(_caught(*work)), works))


async def _caught(work, *arguments):
    try:
        return await work(*arguments)
    except Exception as error:  # noqa: BLE001 -- it is what the test wants to know
        return "failed", repr(error)


async def _ask(client):
    return ASKED, result_word(await done(client.guard.keep_alive()))


async def _create(client, file):
    return CREATED, (await create_job(client, training_file=file)).status


async def _run_background(client):
    """Have the background begin by another request, and wait until it has checked."""
    await done(client.files.list())
    while not _has_checked(client):  # noqa: ASYNC110 -- nothing tells when a background sleeps
        await asyncio.sleep(0.02)
    return LOOKED, (await done(client.guard.check())).verdict.value


def _has_checked(client):
    background = client._finetune_guard.background
    return background is not None and any(check.next_at for check in list(background._checks.values()))


# Processes whose store does not do all that is asked of it: a process uses one store for a place, whichever
# was there first; so these are processes of their own.


def _failing(stage, keep_alive, **methods):
    store = type("Failing", (type(open_store(stage.location)),), methods)(stage.location)
    return stage.connect(SYNC.guarded, keep_alive=keep_alive, store=store)


def send_without_a_trace(stage, pipe):
    """Send a keep-alive that the store refuses to record; report the outcome."""

    def refuse(*_):
        raise StoreError("not now")

    with _failing(stage, ON_CALL, record=refuse) as client:
        pipe.send(result_word(client.guard.keep_alive()))


def ask_while_overloaded(stage, pipe):
    """Ask for a keep-alive while the store does not answer twice; report the outcome."""
    times = []

    def overloaded(store, name, ttl):
        times.append(name)
        if len(times) < 3:
            raise StoreError("it did not answer in time")
        return type(store).__base__.lease(store, name, ttl)

    with _failing(stage, IMPATIENT, lease=overloaded) as client:
        pipe.send((result_word(client.guard.keep_alive()), len(times) >= 3))


def ask_without_leases(stage, pipe):
    """Ask for a keep-alive in many threads where the store gives no leases; report each outcome."""

    def read_only(*_):
        raise StoreError("read-only")

    with _failing(stage, ON_CALL, lease=read_only) as client, ThreadPoolExecutor(THREADS) as threads:
        asking = [threads.submit(client.guard.keep_alive) for _ in range(THREADS)]
        pipe.send([result_word(future.result(PATIENCE)) for future in asking])
