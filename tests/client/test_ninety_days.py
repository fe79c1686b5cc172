"""A quarter of a year with several programs and two organizations, compared day by day with the API."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from finetune_guard import FineTuneGuardError, KeepAlive
from finetune_guard.simulator import Simulator
from finetune_guard.stores.memory import MemoryStore
from tests.client.flavours import done
from tests.support.constants import BASE, MESSAGES, TRAINING_DATA

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::finetune_guard.FineTuneGuardWarning")]

ADMIN_KEY = "sk-admin-of-acme"
WITH_ADMIN_KEY = {"admin_api_key": ADMIN_KEY}
DAY, WINDOW = timedelta(days=1), timedelta(days=60)


def at(month, day, hour=9, minute=0, second=0):
    """A moment of the season: autumn 2026."""
    return datetime(2026, month, day, hour, minute, second, tzinfo=timezone.utc)


@dataclass
class World:
    """Two organizations, their guarded programs, and an auditor with a history of its own."""

    sim: Simulator
    clock: Any
    guarded: list[Any]
    auditor: Any
    days: int = 0
    open_days: int = 0

    def may_create(self):
        """What the API itself would decide now, for each organization."""
        url = f"http://{self.sim.host}/_simulator/organizations"
        with urllib.request.urlopen(url, timeout=300) as response:
            return {row["slug"]: row["may_create_jobs"] for row in json.load(response)}

    async def agree(self):
        """Whoever is sure says what the API would."""
        may, now = self.may_create(), self.clock()
        for client, slug in self.guarded:
            eligibility = await done(client.guard.check())
            verdict = eligibility.verdict.value
            if verdict == "eligible":
                assert may[slug], (now, slug, eligibility)
                assert eligibility.window_closes_at - now == eligibility.remaining
            elif verdict == "ineligible" and eligibility.covered_until == now:
                assert not may[slug], (now, slug, eligibility)
        audit = await done(self.auditor.guard.check(refresh=True))
        slug = self.sim.organization().slug
        assert slug == audit.organization
        if audit.reason.value == "window_edge":  # within the minute that usage tells the inference by
            assert now - audit.last_inference.at < WINDOW + timedelta(minutes=1), (now, audit)
        else:
            assert ("eligible" if may[slug] else "ineligible") == audit.verdict.value, (now, audit)
        self.days += 1
        self.open_days += may[slug]

    async def live_until(self, moment):
        """Let the days go by up to ``moment``, each compared at nine o'clock and the last also then."""
        while self.clock() < moment:
            morning = self.clock().replace(hour=9, minute=0, second=0) + DAY
            self.clock.set(min(morning, moment))
            await self.agree()


@pytest.fixture
def sim(clock):
    clock.set(at(9, 20))
    with Simulator(clock=clock, admin_key=ADMIN_KEY) as simulator:
        yield simulator


async def chat(client, model):
    await done(client.chat.completions.create(model=model, messages=MESSAGES))


async def create(client):
    """Upload a training file and create a job of it."""
    file = await done(client.files.create(file=("train.jsonl", TRAINING_DATA * 10), purpose="fine-tune"))
    await done(client.fine_tuning.jobs.create(model=BASE, training_file=file.id))


async def submit_batch(client, model):
    body = {"model": model, "messages": MESSAGES}
    line = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body})
    file = await done(client.files.create(file=("b.jsonl", line.encode()), purpose="batch"))
    endpoint = "/v1/chat/completions"
    await done(client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h"))


async def test_every_verdict_is_right_for_ninety_days(sim, clock, connect, connect_bare, model):
    sim.add_project(sim.organization().slug, "sk-billing")
    rival = sim.add_organization(slug="rival-1", api_key="sk-rival", models=[BASE])
    rivals_model = sim.add_model(rival)
    script, billing = connect_bare(), connect_bare(api_key="sk-billing")
    ours, keeper = connect(WITH_ADMIN_KEY), connect({"keep_alive": KeepAlive()})
    theirs = connect({"on_unknown": "allow"}, api_key=rival.api_key)
    guarded = [(ours, sim.organization().slug), (keeper, sim.organization().slug), (theirs, rival.slug)]
    auditor = connect({"store": MemoryStore(), **WITH_ADMIN_KEY})
    world = World(sim, clock, guarded, auditor)

    unknown, known = ("unknown", "no_inference_recorded"), ("eligible", "recent_inference")
    proved = ("ineligible", "no_recent_inference")
    for moment, act, outcome, client, state in (
        (at(9, 21, 14, 23, 45), lambda: chat(billing, model), None, ours, unknown),  # of another project
        (at(9, 22, 10, 5), ours.guard.sync, None, ours, known),
        (at(9, 25, 22, 10), lambda: submit_batch(script, model), None, ours, known),
        (at(9, 26, 8), ours.batches.list, None, ours, known),
        (at(10, 10, 16, 7, 8), lambda: chat(billing, model), None, ours, known),  # unseen
        (at(10, 20, 11), lambda: create(theirs), "FineTuningRefusedError", theirs, ("ineligible", "refused")),
        (at(11, 4, 12, 30), lambda: chat(theirs, rivals_model), None, theirs, known),
        (at(11, 4, 12, 31), lambda: create(theirs), None, theirs, known),
        (at(11, 24, 23), lambda: done(None), None, ours, ("unknown", "window_expired")),  # by the batch
        (at(11, 25), lambda: create(ours), None, ours, known),  # the usage knows better
        (at(12, 9, 16, 7, 8), lambda: done(None), None, ours, ("unknown", "window_edge")),
        (at(12, 10, 10), lambda: create(ours), "InferenceWindowExpiredError", ours, proved),
        (at(12, 11, 13), lambda: create(keeper), None, ours, known),  # it sends a keep-alive
        (at(12, 11, 14), lambda: create(keeper), None, ours, known),  # and not another one
        (at(12, 20, 12, 31), theirs.guard.keep_alive, None, theirs, known),
        (at(12, 24), lambda: create(theirs), None, theirs, known),
    ):
        await world.live_until(moment)
        raised = None
        try:
            await done(act())
        except FineTuneGuardError as error:
            raised = type(error).__name__
        eligibility = await done(client.guard.check())
        assert (moment, outcome, *state) == (
            moment,
            raised,
            eligibility.verdict.value,
            eligibility.reason.value,
        )
    served = [(call.path.removeprefix("/v1"), call.status) for call in sim.calls if call.method == "POST"]
    assert [403, 200, 200, 200, 200, 200] == [
        status for path, status in served if path == "/fine_tuning/jobs"
    ]
    assert 5 == served.count(("/chat/completions", 200))  # three of programs, two keep-alives
    assert 75 < world.open_days < world.days
