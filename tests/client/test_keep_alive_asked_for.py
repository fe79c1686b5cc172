"""``client.guard.keep_alive()``: keep-alives that a program requests."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import GuardConfigError, Inference, KeepAliveError, Source, guard
from finetune_guard.domain.facts import Activity
from finetune_guard.simulator import Fault
from finetune_guard.stores.memory import MemoryStore
from tests.client.both_ways import ASYNC, done

pytestmark = pytest.mark.anyio

CHAT = "/chat/completions"


async def test_the_outcome_tells_what_was_done(client, clock, model):
    """Model and time of the inference are told, and it is remembered as a keep-alive."""
    outcome = await done(client.guard.keep_alive())
    assert (True, model, clock(), None) == (outcome.sent, outcome.model, outcome.at, outcome.reason)
    assert Source.KEEP_ALIVE is (await done(client.guard.history())).last_inference.source
    assert "eligible" == (await done(client.guard.check())).verdict.value


async def test_it_is_not_sent_when_it_is_not_due(client, infer, posts):
    """While the window is open for long nothing is sent, and the reason told; ``force`` sends it."""
    await infer(client)
    outcome = await done(client.guard.keep_alive())
    assert (False, "not_due") == (outcome.sent, outcome.reason.value)
    assert 1 == posts(CHAT)
    assert (await done(client.guard.keep_alive(force=True))).sent
    assert 2 == posts(CHAT)


async def test_a_plan_tells_what_would_be_sent(client, bare, infer, clock, sim, model):
    """Whether one is due, why not, and the first model are told; nothing is sent and nothing asked."""
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


async def test_after_the_end_nothing_is_sent(client, clock, posts, model):
    """When no job can be created any more a keep-alive is of no use; ``force`` sends it all the same."""
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    outcome = await done(client.guard.keep_alive())
    assert (False, "creation_closed") == (outcome.sent, outcome.reason.value)
    assert 0 == posts(CHAT)
    assert (await done(client.guard.keep_alive(force=True))).sent


async def test_a_base_model_is_rejected(client, sim):
    """A base model keeps no window open: a wrong id is an error, not a charge."""
    for model in ("gpt-4o-mini", "ft", 5):
        with pytest.raises(GuardConfigError, match=r"keep_alive\(model=...\) is .*fine-tuned model's id"):
            await done(client.guard.keep_alive(model=model))
    assert () == sim.calls


async def test_it_is_sent_once_for_each_organization(sim, configured, model, posts):
    """Of two that ask at once, one hears that the window was renewed; a copy's organization has its own."""
    sim.fault(Fault(path="/v1/chat/completions", delay=0.2, times=None))
    other = sim.add_organization(slug="other-1", api_key="sk-other", models=["gpt-4o-2024-08-06"])
    key = sim.organization().api_key
    async with ASYNC.guarded(base_url=sim.base_url, api_key=key, guard=configured()) as client:
        copy = client.with_options(api_key="sk-other")
        outcomes = await asyncio.gather(*(each.guard.keep_alive() for each in (client, client, copy)))
    assert [None, None, "renewed_by_another"] == sorted(
        (outcome.reason for outcome in outcomes), key=lambda reason: reason or ""
    )
    assert outcomes[2].sent
    assert sim.last_inference(other) is not None
    assert 2 == posts(CHAT)


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
    outcome = await done(connect(config={"store": Overtaken(sent)}).guard.keep_alive())
    assert (False, "renewed_by_another", 0) == (outcome.sent, outcome.reason, posts(CHAT))


async def test_a_failure_leaves_the_way_free(client, sim, model, posts):
    """After a keep-alive has failed the next one is sent at once."""
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions"))
    with pytest.raises(KeepAliveError):
        await done(client.guard.keep_alive())
    assert (await done(client.guard.keep_alive())).sent
    assert 2 == posts(CHAT)
