"""``client.guard.keep_alive()``: keep-alives that a program requests."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import GuardConfigError, Inference, KeepAliveError, Source, guard
from finetune_guard.domain.facts import Activity
from finetune_guard.simulator import Fault
from finetune_guard.stores.memory import MemoryStore
from tests.client.flavours import ASYNC, done

pytestmark = pytest.mark.anyio

CHAT = "/chat/completions"


async def test_keep_alive_returns_model_and_time_and_is_recorded(client, clock, model):
    outcome = await done(client.guard.keep_alive())
    assert (True, model, clock(), None) == (outcome.sent, outcome.model, outcome.at, outcome.reason)
    assert Source.KEEP_ALIVE is (await done(client.guard.history())).last_inference.source
    assert "eligible" == (await done(client.guard.check())).verdict.value


@pytest.mark.parametrize("days", [5, 60])
async def test_keep_alive_has_the_time_of_the_api_if_the_clock_is_ahead(connect, infer, clock, days):
    """Else the window would seem to be open for longer than it is."""
    await infer(connect())
    clock.advance(timedelta(days=50))
    ahead = connect(config={"clock": lambda: clock() + timedelta(days=days)})
    assert clock() == (await done(ahead.guard.keep_alive())).at


async def test_keep_alive_is_sent_only_when_due_or_forced(client, infer, posts):
    await infer(client)
    outcome = await done(client.guard.keep_alive())
    assert (False, "not_due") == (outcome.sent, outcome.reason.value)
    assert 1 == posts(CHAT)
    assert (await done(client.guard.keep_alive(force=True))).sent
    assert 2 == posts(CHAT)


async def test_plan_says_what_would_be_sent_and_sends_nothing(client, bare, infer, clock, sim, model):
    await infer(client)
    sim.clear_calls()
    plan = await done(client.guard.plan_keep_alive())
    assert (False, None, "not_due") == (plan.due, plan.model, plan.reason.value)
    clock.advance(timedelta(days=50))
    plan = await done(client.guard.plan_keep_alive())
    assert (True, model, None) == (plan.due, plan.model, plan.reason)
    other = guard(bare)  # to a host that no policy names
    assert "not_guarded" == (await done(other.guard.plan_keep_alive())).reason.value
    assert () == sim.calls


async def test_no_keep_alive_after_the_end_without_force(client, clock, posts, model):
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    outcome = await done(client.guard.keep_alive())
    assert (False, "creation_closed") == (outcome.sent, outcome.reason.value)
    assert 0 == posts(CHAT)
    assert (await done(client.guard.keep_alive(force=True))).sent


async def test_base_model_is_rejected(client, sim):
    for model in ("gpt-4o-mini", "ft", 5):
        with pytest.raises(GuardConfigError, match=r"keep_alive\(model=...\) is .*fine-tuned model's id"):
            await done(client.guard.keep_alive(model=model))
    assert () == sim.calls


async def test_keep_alive_is_sent_once_for_each_organization(sim, configured, model, posts):
    sim.fault(Fault(path="/v1/chat/completions", delay=0.2, times=None))
    other = sim.add_organization(slug="other-1", api_key="sk-other", models=["gpt-4o-2024-08-06"])
    key = sim.organization().api_key
    async with ASYNC.guarded(base_url=sim.base_url, api_key=key, guard=configured()) as client:
        copy = client.with_options(api_key="sk-other")
        outcomes = await asyncio.gather(
            *(each_client.guard.keep_alive() for each_client in (client, client, copy))
        )
    assert [None, None, "renewed_by_another"] == sorted(
        (outcome.reason for outcome in outcomes), key=lambda reason: reason or ""
    )
    assert outcomes[2].sent
    assert sim.last_inference(other) is not None
    assert 2 == posts(CHAT)


class OvertakenStore(MemoryStore):
    """A store that another process records a keep-alive in just before a lease is given here."""

    def __init__(self, inference):
        super().__init__()
        self._inference = inference

    def lease(self, name, ttl):
        self.record(self._inference.organization, [Activity(inference=self._inference)])
        return super().lease(name, ttl)


async def test_lease_holder_checks_again_before_sending(connect, sim, model, clock, posts):
    slug = sim.organization().slug
    sent = Inference(organization=slug, model=model, at=clock(), source=Source.KEEP_ALIVE)
    outcome = await done(connect(config={"store": OvertakenStore(sent)}).guard.keep_alive())
    assert (False, "renewed_by_another", 0) == (outcome.sent, outcome.reason, posts(CHAT))


async def test_failed_keep_alive_releases_the_lease(client, sim, model, posts):
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions"))
    with pytest.raises(KeepAliveError):
        await done(client.guard.keep_alive())
    assert (await done(client.guard.keep_alive())).sent
    assert 2 == posts(CHAT)
