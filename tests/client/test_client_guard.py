"""The methods of ``client.guard``, and their errors for wrong arguments."""

from __future__ import annotations

import inspect
from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard import GuardConfigError, Source, Verdict
from finetune_guard.client.guard_api import AsyncClientGuard, ClientGuard
from finetune_guard.simulator import Fault
from tests.client.flavours import ASYNC, done
from tests.support.constants import START

pytestmark = pytest.mark.anyio

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
CEST = timezone(timedelta(hours=2))


async def test_check_returns_verdict_window_and_evidence_without_a_request(client, infer, clock, sim):
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


async def test_record_adds_an_inference_that_no_client_saw(client):
    """A time in any zone is accepted; the default is now."""
    await done(client.guard.record(MODEL, at=datetime(2026, 6, 2, 2, tzinfo=CEST)))
    last = (await done(client.guard.history())).last_inference
    assert (datetime(2026, 6, 2, tzinfo=timezone.utc), Source.IMPORTED) == (last.at, last.source)
    assert "window_expired" == (await done(client.guard.check())).reason.value
    await done(client.guard.record(MODEL))
    last = (await done(client.guard.history())).last_inference
    assert (MODEL, START, Source.OBSERVED) == (last.model, last.at, last.source)


@pytest.mark.parametrize("end", ["flush", "close"])
async def test_flush_and_close_write_everything_to_the_store(client, infer, store, sim, end):
    for _ in range(2):
        await infer(client)
    await done(client.guard.flush(timeout=300) if end == "flush" else client.close())
    assert {START.date(): {Source.OBSERVED: 2}} == store.history(sim.organization().slug).daily


@pytest.mark.parametrize("model", ["gpt-4o-mini", None, "ft:" + "x" * 1000])
async def test_record_refuses_a_base_model(client, model):
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
async def test_record_refuses_a_time_without_a_zone(client, at):
    with pytest.raises(GuardConfigError, match=r"record\(at=...\) is .*a datetime with a time zone"):
        await done(client.guard.record(MODEL, at=at))


async def test_record_refuses_the_future(client):
    """A clock that is a little ahead is accepted."""
    with pytest.raises(GuardConfigError, match="lies in the future"):
        await done(client.guard.record(MODEL, at=START + timedelta(days=7)))
    await done(client.guard.record(MODEL, at=START + timedelta(hours=1)))
    assert START + timedelta(days=60) == (await done(client.guard.check())).window_closes_at


async def test_async_client_has_only_coroutine_methods(flavour, client):
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
    assert (methods if flavour is ASYNC else set()) == asynchronous
    assert client.guard.active
    assert client.guard.config.clock() == START


async def test_disabled_guard_records_nothing(connect):
    client = connect(config={"enabled": False})
    await done(client.guard.record(MODEL))
    assert {} == (await done(client.guard.history())).models


async def test_model_limits_are_kept_and_decide_nothing(client, sim, model, infer):
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
