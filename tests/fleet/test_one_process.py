"""One keep-alive, however many tasks and threads of one process want it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack

import pytest

import finetune_guard
from finetune_guard.simulator import Fault
from tests.fleet.fleet_attempts import ON_CALL, told
from tests.fleet.fleet_stores import THREADS, ask_without_leases
from tests.fleet.fleet_worker import CHAT, PATIENCE
from tests.support.constants import BASE, TRAINING_DATA

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(2 * PATIENCE)]


@pytest.fixture
def slow(sim):
    """Makes the one inference take so long that everybody wants one meanwhile."""
    sim.fault(Fault(path=CHAT, delay=0.5, times=None))


@pytest.fixture
def stage(near, slow):
    (stage,) = near("acme-1")
    return stage


@pytest.fixture
def file(stage):
    with stage.connect(finetune_guard.OpenAI) as client:
        return client.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune").id


async def test_two_hundred_tasks_send_one(stage, file, keep_alives):
    """Tasks on several async clients share one keep-alive; the others hear that it was sent."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(stage.connect(finetune_guard.AsyncOpenAI, keep_alive=ON_CALL))
            for _ in range(5)
        ]
        asking = [clients[number % 5].guard.keep_alive() for number in range(150)]
        creating = [
            clients[number % 5].fine_tuning.jobs.create(model=BASE, training_file=file)
            for number in range(50)
        ]
        found = await asyncio.gather(*asking, *creating)
    assert {"acme-1": 1} == keep_alives()
    outcomes = [told(outcome) for outcome in found[:150]]
    assert outcomes.count("sent") <= 1
    assert {"renewed_by_another", "not_due", "sent"} >= set(outcomes)
    assert {"validating_files"} == {job.status for job in found[150:]}


def test_sixty_four_threads_send_one(stage, file, keep_alives):
    """Threads on one sync client share one keep-alive; the others hear that it was sent."""
    ready = threading.Barrier(64)

    with ExitStack() as stack:
        client = stack.enter_context(stage.connect(finetune_guard.OpenAI, keep_alive=ON_CALL))

        def work(number):
            ready.wait(PATIENCE)
            if number % 4:
                return told(client.guard.keep_alive())
            return client.fine_tuning.jobs.create(model=BASE, training_file=file).status

        with ThreadPoolExecutor(64) as threads:
            found = list(threads.map(work, range(64)))
    assert {"acme-1": 1} == keep_alives()
    assert found.count("sent") <= 1
    assert found.count("validating_files") == 16
    assert {"renewed_by_another", "not_due", "sent", "validating_files"} >= set(found)


def test_threads_share_one_where_the_store_gives_no_leases(stage, begin, keep_alives):
    """Where other processes can't be kept from sending, the threads of one still send one together."""
    found = begin(ask_without_leases, stage).told()
    assert {"acme-1": 1} == keep_alives()
    assert (1, THREADS) == (found.count("sent"), len(found))
    assert {"renewed_by_another", "not_due", "sent"} >= set(found)
