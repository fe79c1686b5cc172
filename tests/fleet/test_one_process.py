"""One keep-alive for any number of tasks, threads and processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import finetune_guard
from finetune_guard import Source
from finetune_guard.simulator import Fault
from tests.client.flavours import create_job
from tests.fleet.fleet_attempts import (
    ASKED,
    CREATED,
    LOOKED,
    ON_CALL,
    SHARES,
    THREADS,
    ask_without_leases,
    attempt,
    result_word,
)
from tests.fleet.fleet_worker import CHAT, PATIENCE
from tests.support.constants import TRAINING_DATA

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(2 * PATIENCE)]

PROCESSES = 8
HEARD = {"renewed_by_another", "not_due", "sent"}


@pytest.fixture
def stage(closing_windows, sim):
    """An organization whose one inference takes so long that everybody wants one meanwhile."""
    (stage,) = closing_windows("acme-1")
    sim.fault(Fault(path=CHAT, delay=0.5, times=None))
    return stage


@pytest.fixture
def file(stage):
    with stage.connect(finetune_guard.OpenAI) as client:
        return client.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune").id


async def test_two_hundred_tasks_send_one(stage, file, keep_alives):
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(stage.connect(finetune_guard.AsyncOpenAI, keep_alive=ON_CALL))
            for _ in range(5)
        ]
        asking = [clients[number % 5].guard.keep_alive() for number in range(150)]
        creating = [create_job(clients[number % 5], training_file=file) for number in range(50)]
        results = await asyncio.gather(*asking, *creating)
    assert {"acme-1": 1} == keep_alives()
    outcomes = [result_word(outcome) for outcome in results[:150]]
    assert outcomes.count("sent") <= 1
    assert set(outcomes) <= HEARD
    assert {"validating_files"} == {job.status for job in results[150:]}


def test_threads_send_one_when_the_store_gives_no_leases(stage, begin, keep_alives):
    result = begin(ask_without_leases, stage).receive()
    assert {"acme-1": 1} == keep_alives()
    assert (1, THREADS) == (result.count("sent"), len(result))
    assert set(result) <= HEARD


def test_four_hundred_attempts_of_eight_processes_send_one(stage, file, processes, begin, keep_alives, store):
    barrier = processes.Barrier(PROCESSES)
    fleet = [begin(attempt, stage, file, barrier) for _ in range(PROCESSES)]
    results = [result for process in fleet for result in process.receive()]
    assert [0] * PROCESSES == [process.ended() for process in fleet]
    assert {"acme-1": 1} == keep_alives()
    by_kind = {kind: [result for name, result in results if name == kind] for kind in (*SHARES, "failed")}
    assert [] == by_kind["failed"]
    assert [2 * PROCESSES * share for share in SHARES.values()] == [len(by_kind[kind]) for kind in SHARES]
    assert by_kind[ASKED].count("sent") <= 1
    assert set(by_kind[ASKED]) <= HEARD
    assert ({"validating_files"}, {"eligible"}) == (set(by_kind[CREATED]), set(by_kind[LOOKED]))
    counts = store.history("acme-1").daily.values()
    assert {Source.OBSERVED: 1, Source.KEEP_ALIVE: 1} == {s: n for day in counts for s, n in day.items()}
