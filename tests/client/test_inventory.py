"""``client.guard.models()``: every fine-tuned model that a key can see, or that the history remembers."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard import GuardConfigError, Inventory
from finetune_guard.simulator import Fault
from tests.client.flavours import done, listed
from tests.client.scenarios import chat
from tests.support.constants import BASE, DAY, START, TRAINING_DATA
from tests.support.stores import Unreadable

pytestmark = pytest.mark.anyio

MODELS, JOBS = "/v1/models", "/v1/fine_tuning/jobs"
JUNE = datetime(2026, 6, 1, tzinfo=timezone.utc)
MADE = JUNE + timedelta(minutes=30)


async def inventory(client, **options) -> Inventory:
    return await done(client.guard.models(**options))


def by_id(records):
    return {record.id: record for record in records.models}


@pytest.fixture
def create_job(bare, clock):
    """Has an unguarded client run a job to its end, in June; returns the job's id."""

    async def create():
        now = clock()
        clock.set(JUNE)
        file = await done(bare.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))
        job = await done(bare.fine_tuning.jobs.create(model=BASE, training_file=file.id, suffix="mine"))
        clock.set(now)
        return job.id

    return create


async def test_model_has_base_age_last_inference_shutdown_and_replacement(client, sim, clock):
    model = sim.add_model(suffix="support-bot", created_at=START - DAY)
    await chat(client, model)
    clock.advance(DAY)
    (record,) = (await inventory(client)).models
    values = (record.id, record.base, record.checkpoint_step, record.created_at)
    assert (model, BASE, None, START - DAY) == values
    last = record.last_inference
    assert (model, START) == (last.model, last.at)
    assert ("observed", "acme-28gund") == (last.source.value, last.organization)
    assert (date(2027, 1, 14), 165) == (record.shutdown.day, record.days_left)
    assert ("gpt-6-luna", False) == (record.replacement, record.replacement_can_be_fine_tuned)
    assert record.visible


async def test_models_of_jobs_and_checkpoints_are_listed_once(client, create_job, bare):
    job = await create_job()
    finished = await done(bare.fine_tuning.jobs.retrieve(job))
    checkpoints = (await done(bare.fine_tuning.jobs.checkpoints.list(job))).data
    records = by_id(await inventory(client))
    assert finished.fine_tuned_model in records
    for checkpoint in checkpoints:
        record = records[checkpoint.fine_tuned_model_checkpoint]
        assert checkpoint.step_number == record.checkpoint_step
    assert {MADE} == {record.created_at for record in records.values()}
    assert 1 + len(checkpoints) == len(records)


@pytest.mark.parametrize("lists", ["guard.models", "guard.check", "models.list"])
async def test_shut_down_model_stays_listed(connect, bare, sim, tmp_path, lists):
    model = sim.add_model()
    before = connect({"store": tmp_path / "history"})
    if lists == "guard.check":
        await done(before.guard.check(refresh=True))
    else:
        await listed(before.models.list()) if lists == "models.list" else await inventory(before)
    await done(before.close())
    await done(bare.models.delete(model))
    (record,) = (await inventory(connect({"store": tmp_path / "history"}))).models
    assert (model, False, None) == (record.id, record.visible, record.last_inference)
    assert date(2027, 1, 14) == record.shutdown.day


@pytest.mark.parametrize(("path", "failure"), [(MODELS, "500"), (JOBS, "404")])
async def test_failed_list_makes_the_inventory_incomplete(client, sim, create_job, path, failure):
    await create_job()
    whole = set(by_id(await inventory(client)))
    sim.fault(Fault(method="GET", path=path, status=int(failure), code="odd"))
    listing = await inventory(client)
    assert not listing.complete
    assert failure in listing.failure
    assert set(by_id(listing)) <= whole
    assert listing.models


async def test_only_refresh_stores_shutdown_dates(client, store):
    await inventory(client)
    await done(client.guard.flush())
    assert {} == store.announced()
    await inventory(client, refresh=True)
    assert date(2027, 1, 14) == store.announced()[BASE].day


async def test_unreadable_history_leaves_the_apis_models(connect, sim, caplog):
    visible = sim.add_model()
    client = connect(config={"store": Unreadable()})
    listing = await inventory(client)
    assert [(visible, None)] == [(record.id, record.last_inference) for record in listing.models]
    assert "can't read the history" in caplog.text


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_inactive_guard_asks_nothing(connect, sim, fields):
    guard = connect(config={"admin_api_key": "sk-admin", **fields}).guard
    for ask in (guard.models, guard.sync, guard.model_limits):
        with pytest.raises(GuardConfigError, match=r"GuardConfig\(hosts="):
            await done(ask())
    await done(guard.check(refresh=True))
    assert () == sim.calls
