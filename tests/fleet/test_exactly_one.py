"""One keep-alive per organization and window, in cases that once caused several."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

import finetune_guard
from finetune_guard import FineTuningRefusedError, InferenceWindowExpiredError, KeepAlive, KeepAliveError
from finetune_guard.simulator import Fault
from finetune_guard.stores.open import open_store
from tests.client.flavours import ASYNC, SYNC, done
from tests.fleet.fleet_attempts import IMPATIENT, ask_while_overloaded, result_word, send_without_a_trace
from tests.fleet.fleet_worker import CHAT, PATIENCE
from tests.support.constants import BASE, HOUR

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(2 * PATIENCE)]


@pytest.fixture(params=[SYNC, ASYNC], ids=["sync", "async"])
def flavour(request):
    return request.param


@pytest.fixture
def stage(closing_windows):
    (stage,) = closing_windows("acme-1")
    return stage


async def at_once(flavour, clients, work):
    """Do ``work`` with all ``clients`` at once; return what it gave."""
    if flavour.is_async:
        return await asyncio.gather(*map(work, clients))
    with ThreadPoolExecutor(len(clients)) as threads:
        return list(threads.map(work, clients))


async def test_restricted_keys_of_one_organization_send_one(flavour, sim, stage, keep_alives):
    """Refusals of the models list name the organization."""
    for number in range(6):
        sim.add_project("acme-1", f"sk-restricted-{number}")
    sim.fault(Fault(path="/v1/models", method="GET", status=403, times=None))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", status=403, times=None))
    sim.fault(Fault(path=CHAT, delay=0.3, times=None))
    guard = stage.config(keep_alive=KeepAlive(model=stage.model))
    clients = [
        flavour.guarded(
            base_url=stage.base_url, api_key=f"sk-restricted-{number}", guard=guard, max_retries=0
        )
        for number in range(6)
    ]
    await at_once(flavour, clients, lambda client: client.guard.keep_alive())
    assert {"acme-1": 1} == keep_alives()
    for client in clients:
        await done(client.close())


async def test_job_cancelled_three_times_sends_one(sim, stage):
    """Its keep-alive may have run, so others wait until the lease ends."""
    sim.fault(Fault(path=CHAT, delay=600, times=None))
    sent, sending = [], asyncio.Event()

    async def note(request):
        if request.url.path == CHAT:
            sent.append(request.url.path)
            sending.set()

    keep_alive = KeepAlive(deadline=timedelta(seconds=3))
    http_client = ASYNC.http_client(event_hooks={"request": [note]})
    async with stage.connect(ASYNC.guarded, keep_alive=keep_alive, http_client=http_client) as client:
        for _ in range(3):
            task = asyncio.ensure_future(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
            await sending.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    async with stage.connect(ASYNC.guarded, keep_alive=keep_alive, http_client=http_client) as client:
        assert "another_is_sending" == (await client.guard.keep_alive()).reason
    assert [CHAT] == sent


async def test_endless_answer_ends_by_the_deadline_and_keeps_the_lease(flavour, sim, stage):
    sim.fault(Fault(path=CHAT, delay=600, times=None))
    given_back = []

    class Watched(type(open_store(stage.location))):
        @property
        def identity(self):
            return id(self)  # as in a process of its own

        def release(self, lease):
            given_back.append(lease)
            super().release(lease)

    options = {"keep_alive": KeepAlive(deadline=timedelta(seconds=2)), "store": Watched(stage.location)}
    client = stage.connect(flavour.guarded, **options)
    with pytest.raises(KeepAliveError, match="no answer in time"):
        await done(client.guard.keep_alive())
    assert [] == given_back
    await done(client.close())


async def test_server_with_a_stopped_clock_gets_one(flavour, sim, stage, keep_alives):
    sim.fault(Fault(path="*", method="*", headers={"date": "Thu, 01 Jan 2026 00:00:00 GMT"}, times=None))
    for _ in range(5):
        client = stage.connect(flavour.guarded, keep_alive=KeepAlive())
        await done(client.guard.keep_alive())
        await done(client.close())
    assert {"acme-1": 1} == keep_alives()


# What those hear who don't send the one keep-alive.


@pytest.fixture
def lease(stage, store):
    """The right to send, which somebody else has."""
    lease = store.lease("keep-alive/acme-1", HOUR)
    assert lease is not None
    return lease


def test_waiting_in_vain_claims_no_success(stage, lease, keep_alives):
    with stage.connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client:
        assert "another_is_sending" == result_word(client.guard.keep_alive())
    assert {} == keep_alives()


def test_job_that_waited_in_vain_says_so(sim, stage, lease, keep_alives):
    later = sim.clock.advance(timedelta(days=2))
    with (
        stage.at(later).connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client,
        pytest.raises(InferenceWindowExpiredError, match="Keep-alive: Another thread or process is sending"),
    ):
        client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
    assert {} == keep_alives()


def test_refusal_during_the_wait_is_reported_as_a_refusal(sim, stage, lease, store, keep_alives):
    sim.fault(Fault.training_not_available())
    with stage.connect(finetune_guard.OpenAI) as client, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(client.guard.keep_alive)
        with pytest.raises(FineTuningRefusedError):
            client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
        assert "refused" == result_word(waiting.result(PATIENCE))
    assert {} == keep_alives()


def test_slow_store_is_asked_again_before_sending(stage, lease, begin, keep_alives):
    assert ("another_is_sending", True) == begin(ask_while_overloaded, stage).receive()
    assert {} == keep_alives()


def test_unrecorded_keep_alive_is_not_sent_again_at_once(stage, begin, keep_alives):
    assert "sent" == begin(send_without_a_trace, stage).receive()
    with stage.connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client:
        assert "another_is_sending" == result_word(client.guard.keep_alive())
    assert {"acme-1": 1} == keep_alives()
