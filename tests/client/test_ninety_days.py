"""A quarter of a year with several programs and two organizations, told day by day.

The simulated API decides by rules written anew and sees every inference. Whenever the guard is sure, the
two must agree.
"""

from __future__ import annotations

import io
import json
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from finetune_guard import FineTuningRefusedError, InferenceWindowExpiredError, KeepAlive
from finetune_guard.domain.facts import Source
from finetune_guard.simulator import Simulator
from finetune_guard.stores.memory import MemoryStore
from tests.client.both_ways import done
from tests.support.constants import BASE, MESSAGES

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::finetune_guard.ModelSunsetWarning")]

ADMIN_KEY = "sk-admin-of-acme"
USAGE = "/organization/usage/completions"
DAY, WINDOW = timedelta(days=1), timedelta(days=60)
DATA = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n' * 10


def at(month, day, hour=9, minute=0, second=0):
    """A moment of the season: from autumn 2026 to January 2027."""
    return datetime(2026 if month > 6 else 2027, month, day, hour, minute, second, tzinfo=timezone.utc)


class Untouchable(io.BytesIO):
    """A training file that must not be read."""

    name = "train.jsonl"

    def read(self, *_):
        raise AssertionError("the file was read")


@dataclass
class World:
    """Two organizations, their programs, and the time they live in.

    Attributes:
        sim: The API.
        clock: Its time, and the programs'.
        guarded: The guarded programs, each with the slug of its organization.
        auditor: One more, with a history and an admin key of its own, which looks every day.
        days: How many days were compared.
        open_days: On how many of them the first organization could create jobs.
    """

    sim: Simulator
    clock: Any
    guarded: list[Any] = field(default_factory=list)
    auditor: Any = None
    days: int = 0
    open_days: int = 0

    def may_create(self):
        """What the API itself would decide now, for each organization."""
        url = f"http://{self.sim.host}/_simulator/organizations"
        with urllib.request.urlopen(url, timeout=60) as response:
            return {row["slug"]: row["may_create_jobs"] for row in json.load(response)}

    def served(self, path, method="POST"):
        """How many requests the API has served on a path."""
        return sum((call.method, call.path) == (method, f"/v1{path}") for call in self.sim.calls)

    async def agree(self):
        """Whoever is sure says what the API would."""
        may, now = self.may_create(), self.clock()
        for client, slug in self.guarded:
            eligibility = await done(client.guard.check())
            verdict = eligibility.verdict.value
            if verdict == "eligible":
                assert may[slug], (now, slug, eligibility)
                assert eligibility.window_closes_at - now == eligibility.remaining
            elif verdict == "ineligible" and (
                eligibility.covered_until == now or eligibility.reason.value == "closed"
            ):
                assert not may[slug], (now, slug, eligibility)
        if self.auditor is not None:
            audit = await done(self.auditor.guard.check(refresh=True))
            slug = self.sim.organization().slug
            assert slug == audit.organization
            if audit.reason.value == "window_edge":  # within the minute that usage tells the inference by
                assert now - audit.last_inference.at < WINDOW + timedelta(minutes=1), (now, audit)
            else:
                assert ("eligible" if may[slug] else "ineligible") == audit.verdict.value, (now, audit)
        self.days += 1
        self.open_days += may[self.sim.organization().slug]

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


@pytest.fixture
def rivals(sim):
    """The second organization; it has no admin key."""
    return sim.add_organization(slug="rival-1", api_key="sk-rival", models=[BASE])


@pytest.fixture
def world(sim, clock, monkeypatch):
    for name in ("OPENAI_ADMIN_KEY", "FINETUNE_GUARD_ADMIN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return World(sim, clock)


@pytest.fixture
def join(world, connect):
    """Starts a guarded program; its fine-tunes are known to be short-lived."""

    def start(slug=None, config=None, **options):
        client = connect({"warn_below_lifetime": None, **(config or {})}, **options)
        world.guarded.append((client, slug or world.sim.organization().slug))
        return client

    return start


async def fine_tuned_model(client):
    (first, *_) = [item.id for item in (await done(client.models.list())).data if item.id.startswith("ft:")]
    return first


async def chat(client, model):
    await done(client.chat.completions.create(model=model, messages=MESSAGES))


async def upload(client, file=("train.jsonl", DATA)):
    return (await done(client.files.create(file=file, purpose="fine-tune"))).id


async def create(client, file="file-x"):
    return await done(client.fine_tuning.jobs.create(model=BASE, training_file=file))


async def stopped(client, kind):
    """Assert that neither a job nor a byte of a file gets out; return the job's error."""
    with pytest.raises(kind, match="training file was not uploaded"):
        await upload(client, Untouchable(DATA))
    with pytest.raises(kind, match="fine-tuning job was not created") as caught:
        await create(client)
    return caught.value


def seen(eligibility):
    """What an eligibility says, in short."""
    last = eligibility.last_inference
    return (
        eligibility.verdict.value,
        eligibility.reason.value,
        (last.source, last.at) if last is not None else None,
        (eligibility.coverage.value, eligibility.covered_until),
    )


async def checked(client, **options):
    return seen(await done(client.guard.check(**options)))


async def refused(client):
    """Assert that the API's refusal is what comes of a job; return it."""
    with pytest.raises(FineTuningRefusedError) as caught:
        await create(client)
    return caught.value


LOCAL = ("local", None)
FOUND = ("eligible", "recent_inference", (Source.USAGE_API, at(9, 21, 14, 23)))
"""What another project's program ran."""
BATCHED = ("eligible", "recent_inference", (Source.BATCH, at(9, 25, 22, 11)))
"""What the script's batch ran."""
AGAIN = ("eligible", "recent_inference", (Source.USAGE_API, at(10, 10, 16, 7)))
"""What the other project's program ran while nobody looked."""


def organization_until(moment):
    return ("organization", moment)


def local_since(moment):
    return ("local", moment)


async def submit_batch(client, model):
    """Hand in a batch of two chats; return its id."""
    lines = [
        json.dumps(
            {
                "custom_id": f"request-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": MESSAGES},
            }
        )
        for number in range(2)
    ]
    file = await done(client.files.create(file=("b.jsonl", "\n".join(lines).encode()), purpose="batch"))
    batch = await done(
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    )
    return batch.id


@dataclass
class Season:
    """The programs of two organizations, and what they know and do in the course of ninety days.

    Attributes:
        world: Where they live.
        join: Starts another guarded program of the first organization.
        ours: The first organization's guarded program, which has an admin key.
        script: One of its project without a guard.
        billing: One of another project without a guard.
        model: The model that these run.
        rival: The second organization's guarded program.
        theirs: The model that it runs.
    """

    world: World
    join: Any
    ours: Any
    script: Any
    billing: Any
    model: str
    rival: Any
    theirs: str

    @property
    def slug(self):
        return self.world.sim.organization().slug

    @property
    def now(self):
        return self.world.clock()

    def posted(self):
        """How many jobs, files and chats have reached the API."""
        return [self.world.served(path) for path in ("/fine_tuning/jobs", "/files", "/chat/completions")]

    async def nothing_is_known(self):
        for client in (self.ours, self.rival):
            assert ("unknown", "no_inference_recorded", None, LOCAL) == await checked(client)
        await self.world.agree()
        assert {self.slug: False, "rival-1": False} == self.world.may_create()

    async def another_project_is_found(self):
        """Its inference isn't known before the usage is read, and then it is to the minute."""
        await self.world.live_until(at(9, 21, 14, 23, 45))
        await chat(self.billing, self.model)
        await self.world.live_until(at(9, 22, 10, 5, 30))
        assert ("unknown", "no_inference_recorded", None, LOCAL) == await checked(self.ours)

        synced = await done(self.ours.guard.sync())
        assert (True, 1, 1) == (synced.complete, synced.models, len(synced.projects))
        assert self.world.sim.organization().project not in synced.projects
        assert (*FOUND, organization_until(at(9, 22, 10, 5, 30))) == await checked(self.ours)
        eligibility = await done(self.ours.guard.check())
        assert (self.model, at(9, 21, 14, 23) + WINDOW) == (
            eligibility.last_inference.model,
            eligibility.window_closes_at,
        )
        nothing = ("unknown", "no_inference_recorded", None, LOCAL)
        assert nothing == await checked(self.rival, refresh=True)
        await self.world.agree()

    async def a_batch_is_seen(self):
        """The script's batch counts from when it ran, and only once something of it was answered."""
        await self.world.live_until(at(9, 25, 22, 10))
        batch = await submit_batch(self.script, self.model)
        await done(self.ours.batches.retrieve(batch))
        assert FOUND == (await checked(self.ours))[:3]
        await self.world.live_until(at(9, 26, 8))
        await done(self.ours.batches.retrieve(batch))
        assert (*BATCHED, local_since(at(9, 22, 10, 5, 30))) == await checked(self.ours)

    async def one_more_is_not_seen(self):
        await self.world.live_until(at(10, 10, 16, 7, 8))
        await chat(self.billing, self.model)
        assert BATCHED == (await checked(self.ours))[:3]

    async def the_second_organization_is_refused(self):
        """It lets the API decide; its word is remembered for a day."""
        await self.world.live_until(at(10, 20, 11))
        error = await refused(self.rival)
        assert not error.remembered
        await self.world.live_until(at(10, 21, 10, 59, 59))
        assert ("ineligible", "refused", None, LOCAL) == await checked(self.rival)
        jobs, *_ = self.posted()
        error = await refused(self.rival)
        assert (True, at(10, 20, 11)) == (error.remembered, error.eligibility.refusal.at)
        assert (1, 1) == (jobs, self.posted()[0])

        await self.world.live_until(at(11, 4, 12, 30, 15))
        await chat(self.rival, self.theirs)
        observed = (Source.OBSERVED, at(11, 4, 12, 30, 15))
        assert ("eligible", "recent_inference", observed, LOCAL) == await checked(self.rival)
        await create(self.rival, await upload(self.rival))
        await self.world.agree()

    async def a_window_seems_to_lapse(self):
        """It closes by all that the program knows; the usage knows better, and the job goes through."""
        await self.world.live_until(at(11, 24, 22, 10, 59))
        assert (*BATCHED, LOCAL) == await checked(self.ours)
        assert timedelta(seconds=1) == (await done(self.ours.guard.check())).remaining
        readings = self.world.served(USAGE, "GET")

        self.world.clock.set(at(11, 25))
        assert ("unknown", "window_expired", BATCHED[2], LOCAL) == await checked(self.ours)
        assert self.world.may_create()[self.slug]
        job = await create(self.ours, await upload(self.ours))
        assert self.world.sim.organization().id == job.organization_id
        assert readings + 4 == self.world.served(USAGE, "GET")  # for the file, and not again for the job
        assert (*AGAIN, organization_until(at(11, 25))) == await checked(self.ours)
        await self.world.agree()

    async def a_window_lapses(self):
        """To the minute; then neither a job nor a byte of a file gets out, whoever tries."""
        await self.world.live_until(at(12, 9, 16, 6, 59))
        assert AGAIN == (await checked(self.ours))[:3]
        self.world.clock.set(at(12, 9, 16, 7, 8))
        await self.world.agree()
        edge = ("unknown", "window_edge", AGAIN[2])
        assert (*edge, local_since(at(11, 25))) == await checked(self.ours)
        self.world.clock.set(at(12, 9, 16, 8))
        assert (*edge, local_since(at(11, 25))) == await checked(self.ours)
        assert not self.world.may_create()[self.slug]

        await self.world.live_until(at(12, 10, 10))
        before = self.posted()
        error = await stopped(self.ours, InferenceWindowExpiredError)
        proved = ("ineligible", "no_recent_inference", AGAIN[2], organization_until(self.now))
        assert proved == seen(error.eligibility)
        assert at(12, 9, 16, 7) == error.eligibility.window_closed_at
        newcomer = self.join(config={"store": MemoryStore(), "admin_api_key": ADMIN_KEY})
        with pytest.raises(InferenceWindowExpiredError):
            await create(newcomer)
        nothing = ("ineligible", "no_recent_inference", None, organization_until(self.now))
        assert nothing == seen((await stopped(newcomer, InferenceWindowExpiredError)).eligibility)
        assert before == self.posted()

    async def a_keep_alive_opens_it(self):
        """It is sent once, for all who share the history."""
        await self.world.live_until(at(12, 11, 13, 0, 20))
        keeper = self.join(config={"keep_alive": KeepAlive()})
        *_, chats = self.posted()
        for _ in range(2):
            await create(keeper, await upload(keeper))
        assert chats + 1 == self.posted()[2]
        kept = (Source.KEEP_ALIVE, at(12, 11, 13, 0, 20))
        for client in (self.ours, keeper):
            assert ("eligible", "recent_inference", kept) == (await checked(client))[:3]
        assert self.world.may_create()[self.slug]

    async def a_refusal_is_outlived(self, naive):
        """It is forgotten after a day, and the usage tells what ran since as soon as it may be read."""
        await self.world.live_until(at(12, 12))
        assert ("unknown", "no_inference_recorded", None, LOCAL) == await checked(naive)
        naive = naive.with_options(guard=naive.guard.config.model_copy(update={"admin_api_key": ADMIN_KEY}))
        await create(naive, await upload(naive))
        told = (Source.USAGE_API, at(12, 11, 13, 0))
        assert ("eligible", "recent_inference", told, organization_until(self.now)) == await checked(naive)

    async def a_keep_alive_is_due(self):
        """Two weeks before the second organization's window closes, and not before."""
        await self.world.live_until(at(12, 20, 12, 30, 14))
        outcome = await done(self.rival.guard.keep_alive())
        assert (False, "not_due") == (outcome.sent, outcome.reason.value)
        self.world.clock.advance(timedelta(seconds=1))
        assert timedelta(days=14) == (await done(self.rival.guard.check())).remaining
        outcome = await done(self.rival.guard.keep_alive())
        assert (True, self.theirs) == (outcome.sent, outcome.model)
        renewed = (Source.KEEP_ALIVE, at(12, 20, 12, 30, 15))
        assert ("eligible", "recent_inference", renewed, LOCAL) == await checked(self.rival)
        await self.world.agree()

    async def histories_are_apart(self):
        history = await done(self.ours.guard.history())
        assert (self.slug, {self.model}) == (history.organization, set(history.models))
        history = await done(self.rival.guard.history())
        assert ("rival-1", {self.theirs}, ()) == (
            history.organization,
            set(history.models),
            history.evidence.usage_read,
        )


@pytest.fixture
async def season(world, join, connect, connect_bare, rivals, model):
    world.sim.add_project(world.sim.organization().slug, "sk-billing")
    world.auditor = connect({"store": MemoryStore(), "admin_api_key": ADMIN_KEY})
    return Season(
        world=world,
        join=join,
        ours=join(config={"admin_api_key": ADMIN_KEY}),
        script=connect_bare(),
        billing=connect_bare(api_key="sk-billing"),
        model=model,
        rival=join("rival-1", {"on_unknown": "allow"}, api_key=rivals.api_key),
        theirs=await fine_tuned_model(connect_bare(api_key=rivals.api_key)),
    )


async def test_ninety_days(season, monkeypatch):
    """From nothing known to a lapsed window and back: every answer is right, and none too sure."""
    await season.nothing_is_known()  # September 20
    await season.another_project_is_found()
    await season.a_batch_is_seen()
    await season.one_more_is_not_seen()
    await season.the_second_organization_is_refused()
    await season.a_window_seems_to_lapse()
    await season.a_window_lapses()
    naive = season.join(config={"store": MemoryStore(), "on_unknown": "allow"})
    assert not (await refused(naive)).remembered
    assert ("ineligible", "refused", None, LOCAL) == await checked(naive)
    await season.a_keep_alive_opens_it()
    await season.a_refusal_is_outlived(naive)
    await season.a_keep_alive_is_due()  # December 20
    await season.histories_are_apart()
    assert season.world.days > 91
    assert 75 < season.world.open_days < season.world.days
