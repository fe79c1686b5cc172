"""One keep-alive for an organization and a window, however many want it at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from finetune_guard import Inference, KeepAlive, Source
from finetune_guard.domain.facts import Activity
from finetune_guard.simulator import Fault
from finetune_guard.stores.memory import MemoryStore
from tests.client.both_ways import ASYNC, SYNC, done
from tests.support.constants import BASE, MESSAGES, TRAINING_DATA

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"


@pytest.fixture
def slow(sim):
    """Makes a keep-alive take so long that everybody wants one meanwhile."""
    sim.fault(Fault(path=CHAT, delay=0.2, times=None))


@pytest.fixture
def lapsed(sim, clock, model, configured, slow):
    """Options for clients of an organization whose window has lapsed, and the id of a training file."""
    options = {
        "base_url": sim.base_url,
        "api_key": sim.organization().api_key,
        "guard": configured(keep_alive=KeepAlive()),
    }
    with SYNC.guarded(**options) as client:
        client.chat.completions.create(model=model, messages=MESSAGES)
        file = client.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune")
        clock.advance(timedelta(days=61))
        sim.clear_calls()
        yield options, file.id


def test_eight_threads_send_one(lapsed, posts):
    """Threads that create jobs at once share one keep-alive; all jobs are created."""
    options, file = lapsed
    ready = threading.Barrier(8)

    def create(_):
        with SYNC.guarded(**options) as client:
            ready.wait()
            return client.fine_tuning.jobs.create(model=BASE, training_file=file).status

    with ThreadPoolExecutor(8) as pool:
        assert ["validating_files"] * 8 == list(pool.map(create, range(8)))
    assert (1, 8) == (posts("/chat/completions"), posts("/fine_tuning/jobs"))


async def test_twenty_tasks_send_one(lapsed, posts):
    """Tasks that create jobs at once share one keep-alive, and none of them blocks the event loop."""
    options, file = lapsed
    async with ASYNC.guarded(**options) as client:
        creations = [client.fine_tuning.jobs.create(model=BASE, training_file=file) for _ in range(20)]
        assert ["validating_files"] * 20 == [job.status for job in await asyncio.gather(*creations)]
    assert (1, 20) == (posts("/chat/completions"), posts("/fine_tuning/jobs"))


async def test_two_stores_of_one_folder_send_one(lapsed, configured, posts, tmp_path):
    """Clients with configurations of their own share one keep-alive through one folder."""
    options, file = lapsed

    def connect():
        config = configured(keep_alive=KeepAlive(), store=tmp_path / "history")
        return ASYNC.guarded(**{**options, "guard": config})

    async with connect() as one, connect() as other:
        await asyncio.gather(
            *(each.fine_tuning.jobs.create(model=BASE, training_file=file) for each in (one, other))
        )
    assert (1, 2) == (posts("/chat/completions"), posts("/fine_tuning/jobs"))


async def test_who_comes_second_is_told(lapsed):
    """Of two that ask at once, one sends, and the other hears that the window was renewed."""
    options, _ = lapsed
    async with ASYNC.guarded(**options) as client:
        outcomes = await asyncio.gather(client.guard.keep_alive(), client.guard.keep_alive())
    assert {(True, None), (False, "renewed_by_another")} == {
        (outcome.sent, outcome.reason and outcome.reason.value) for outcome in outcomes
    }


class Overtaken(MemoryStore):
    """A store that another process records a keep-alive in just before a lease is given here."""

    def __init__(self, inference):
        super().__init__()
        self._inference = inference

    def lease(self, name, ttl):
        self.record(self._inference.organization, [Activity(inference=self._inference)])
        return super().lease(name, ttl)


async def test_who_gets_the_turn_looks_again(connect, sim, model, clock, posts):
    """What another process sent between the last look and the turn is enough: nothing is sent."""
    slug = sim.organization().slug
    sent = Inference(organization=slug, model=model, at=clock(), source=Source.KEEP_ALIVE)
    client = connect(config={"store": Overtaken(sent)})
    outcome = await done(client.guard.keep_alive())
    assert (False, "renewed_by_another", 0) == (outcome.sent, outcome.reason, posts("/chat/completions"))


async def test_two_organizations_do_not_wait_for_each_other(lapsed, sim, posts):
    """The one keep-alive is one of each organization."""
    options, _ = lapsed
    sim.add_organization(slug="other-1", api_key="sk-other", models=["gpt-4o-2024-08-06"])
    async with ASYNC.guarded(**options) as client:
        outcomes = await asyncio.gather(
            client.guard.keep_alive(), client.with_options(api_key="sk-other").guard.keep_alive()
        )
    assert [True, True] == [outcome.sent for outcome in outcomes]
    assert 2 == posts("/chat/completions")
