"""The methods of ``client.guard``, and their errors for wrong arguments."""

from __future__ import annotations

import inspect
from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard import GuardConfigError, Source, Verdict
from finetune_guard.client.guard_api import AsyncClientGuard, ClientGuard
from finetune_guard.simulator import Fault
from tests.client.both_ways import ASYNC, done
from tests.support.constants import START

pytestmark = pytest.mark.anyio

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
CEST = timezone(timedelta(hours=2))


async def test_check_tells_the_state_of_things(client, infer, clock, sim):
    """``check`` says whether jobs can be created, until when, and on what evidence, and asks nobody."""
    await infer(client)
    clock.advance(timedelta(days=20))
    sim.clear_calls()
    eligibility = await done(client.guard.check())
    assert (Verdict.ELIGIBLE, "recent_inference") == (eligibility.verdict, eligibility.reason.value)
    assert START + timedelta(days=60) == eligibility.window_closes_at
    assert timedelta(days=40) == eligibility.remaining
    assert (clock(), sim.organization().slug) == (eligibility.checked_at, eligibility.organization)
    assert date(2027, 1, 6) == eligibility.creation_ends_on
    assert () == sim.calls


async def test_an_inference_that_went_another_way_can_be_noted(client):
    """``record`` tells of what no client saw; a time in any zone decides, and without one it was now."""
    await done(client.guard.record(MODEL, at=datetime(2026, 6, 2, 2, tzinfo=CEST)))
    last = (await done(client.guard.history())).last_inference
    assert (datetime(2026, 6, 2, tzinfo=timezone.utc), Source.IMPORTED) == (last.at, last.source)
    assert "window_expired" == (await done(client.guard.check())).reason.value
    await done(client.guard.record(MODEL))
    last = (await done(client.guard.history())).last_inference
    assert (MODEL, START, Source.OBSERVED) == (last.model, last.at, last.source)


@pytest.mark.parametrize("end", ["flush", "close"])
async def test_what_was_noted_is_written(client, infer, store, sim, end):
    """After ``flush``, and when a client was closed, everybody who opens the store finds what was seen."""
    for _ in range(2):
        await infer(client)
    await done(client.guard.flush(timeout=5) if end == "flush" else client.close())
    assert {START.date(): {Source.OBSERVED: 2}} == store.history(sim.organization().slug).daily


@pytest.mark.parametrize("model", ["gpt-4o-mini", None, "ft:" + "x" * 1000])
async def test_only_a_fine_tuned_model_can_be_noted(client, model):
    """A base model is no evidence: naming one is an error."""
    with pytest.raises(GuardConfigError, match=r"record\(model=...\) is .* is required, such as ft:"):
        await done(client.guard.record(model))
    assert {} == (await done(client.guard.history())).models


@pytest.mark.parametrize(
    "at",
    [
        "yesterday",
        datetime(2026, 7, 1),  # noqa: DTZ001 -- that is the point
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    ],
    ids=repr,
)
async def test_a_time_must_be_one(client, at):
    """A time without a zone, or none at all, is an error that says what is required."""
    with pytest.raises(GuardConfigError, match=r"record\(at=...\) is .*a datetime with a time zone"):
        await done(client.guard.record(MODEL, at=at))


async def test_the_future_cannot_be_noted(client):
    """Nobody has run an inference next week; a clock that is a little ahead is forgiven."""
    with pytest.raises(GuardConfigError, match="lies in the future"):
        await done(client.guard.record(MODEL, at=START + timedelta(days=7)))
    await done(client.guard.record(MODEL, at=START + timedelta(hours=1)))
    assert START + timedelta(days=60) == (await done(client.guard.check())).window_closes_at


async def test_every_method_is_awaited_or_none(way, client):
    """On an async client all methods are coroutines, on a sync one none is; properties are plain."""
    methods, others = (
        {
            name
            for name in dir(guard)
            if not name.startswith("_") and not isinstance(getattr(guard, name), property)
        }
        for guard in (ClientGuard, AsyncClientGuard)
    )
    assert methods == others
    asynchronous = {name for name in methods if inspect.iscoroutinefunction(getattr(client.guard, name))}
    assert (methods if way is ASYNC else set()) == asynchronous
    assert client.guard.active
    assert client.guard.config.clock() == START


async def test_switched_off_nothing_is_recorded(connect):
    """``enabled=False`` remembers nothing, also of what a program tells."""
    client = connect(config={"enabled": False})
    await done(client.guard.record(MODEL))
    assert {} == (await done(client.guard.history())).models


async def test_the_limits_are_kept_and_decide_nothing(client, sim, model, infer):
    """They are shown as the API gives them, also where it refuses, and the history keeps the latest."""
    await infer(client)
    limits = await done(client.guard.model_limits())
    assert 200 == limits.status
    assert "gpt-4o-mini-2024-07-18" in limits.answer
    sim.fault(
        Fault(method="GET", path="/v1/fine_tuning/model_limits", status=403, code="training_not_available")
    )
    refused = await done(client.guard.model_limits())
    assert (403, True) == (refused.status, (await done(client.guard.check())).ok)
    assert refused == (await done(client.guard.history())).evidence.model_limits
