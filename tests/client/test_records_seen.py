"""The guard learns from the batches, jobs and models that a program retrieves."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.simulator import Fault
from tests.client.flavours import create_job, done, entered, every, listed
from tests.support.constants import BASE, MESSAGES, START, TRAINING_DATA
from tests.support.stores import Elsewhere

pytestmark = pytest.mark.anyio

APRIL, JUNE = (datetime(2026, month, 1, 12, tzinfo=timezone.utc) for month in (4, 6))
RAN = START + timedelta(minutes=1)  # the simulated API completes a batch nine minutes later
LATER = timedelta(hours=1)


@pytest.fixture
def start_batch(bare):
    """Has an unguarded client start a batch of three requests, so that nobody knows of it; returns its id."""

    async def start(model):
        url = "/v1/chat/completions"
        line = {"method": "POST", "url": url, "body": {"model": model, "messages": MESSAGES}}
        lines = "\n".join(json.dumps({"custom_id": str(number), **line}) for number in range(3))
        file = await done(bare.files.create(file=("in.jsonl", lines.encode()), purpose="batch"))
        create = bare.batches.create
        return (await done(create(input_file_id=file.id, endpoint=url, completion_window="24h"))).id

    return start


@pytest.fixture
async def batch(start_batch, model, clock):
    """The id of a completed batch of three requests to the fine-tuned model."""
    batch_id = await start_batch(model)
    clock.advance(LATER)
    return batch_id


async def known(client):
    """The history by model (time and source) and the daily counts."""
    await done(client.guard.flush())
    history = await done(client.guard.history())
    models = {name: (last.at, last.source.value) for name, last in history.models.items()}
    daily = {
        day: {source.value: count for source, count in by_source.items()}
        for day, by_source in history.daily.items()
    }
    return models, daily


def of_one_batch(model):
    return {model: (RAN, "batch")}, {RAN.date(): {"batch": 3}}


async def retrieve(client, batch):
    return await done(client.batches.retrieve(batch))


async def retrieve_raw(client, batch):
    raw = await done(client.batches.with_raw_response.retrieve(batch))
    return [type(raw), raw.status_code, raw.parse()]


LOOKS = {
    "retrieve": retrieve,
    "raw": retrieve_raw,
    "list": lambda client, _: done(client.batches.list()),
    "list all pages": lambda client, _: listed(client.batches.list(limit=1)),
    "get": lambda client, batch: done(client.get(f"/batches/{batch}", cast_to=object)),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_completed_batch_counts_however_it_is_retrieved(client, bare, batch, model, look):
    assert "no_inference_recorded" == (await done(client.guard.check())).reason.value
    ours, theirs = await look(client, batch), await look(bare, batch)
    if hasattr(theirs, "model_dump"):
        ours, theirs = [type(ours), ours.model_dump()], [type(theirs), theirs.model_dump()]
    assert theirs == ours
    assert of_one_batch(model) == await known(client)
    eligibility = await done(client.guard.check())
    assert ("recent_inference", RAN) == (eligibility.reason.value, eligibility.last_inference.at)


async def test_batch_counts_once_for_several_processes(connect, batch, model, tmp_path, closing):
    for _ in range(3):
        client = connect(config={"store": Elsewhere(tmp_path / "history")})
        await retrieve(client, batch)
        await LOOKS["list all pages"](client, batch)
        assert of_one_batch(model) == await known(client)
        await done(client.close())
    reopened = connect(config={"store": Elsewhere(tmp_path / "history")})
    await done(reopened.guard.check(refresh=True))
    assert of_one_batch(model) == await known(reopened)


async def test_batch_seen_before_its_organization_is_counted_later(client, batch, model, sim):
    stripped = {"openai-organization": "", "openai-project": ""}
    sim.fault(Fault(method="GET", path="/v1/batches/*", headers=stripped))
    await retrieve(client.with_options(organization=sim.organization().id), batch)
    assert ({}, {}) == await known(client)
    await retrieve(client, batch)
    assert of_one_batch(model) == await known(client)


async def test_unfinished_batch_does_not_count(client, start_batch, model, clock):
    batch = await start_batch(model)
    await retrieve(client, batch)
    assert ({}, {}) == await known(client)
    clock.advance(LATER)
    await retrieve(client, batch)
    assert of_one_batch(model) == await known(client)


# Bodies that the SDK has not read.


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, batch: client.batches.with_streaming_response.retrieve(batch),
        lambda client, batch: client.models.with_streaming_response.list(),
    ],
    ids=["batch", "models"],
)
async def test_streamed_body_is_not_read(client, bare, batch, ask):
    whole = []
    for each_client in (bare, client):
        async with entered(ask(each_client, batch)) as response:
            assert 0 == response.http_response.num_bytes_downloaded
            assert not response.http_response.is_stream_consumed
            whole.append(b"".join([piece async for piece in every(response.iter_bytes(7))]))
            assert len(whole[-1]) == response.http_response.num_bytes_downloaded
    assert whole[0] == whole[1]
    assert ({}, {}) == await known(client)


# Earlier fine-tuning.


@pytest.fixture
async def job(bare, sim, clock):
    """The id of a job that was run in April; now it is June, when any earlier fine-tuning suffices."""
    clock.set(APRIL)
    job = await create_job(bare, training_file=sim.add_file(content=TRAINING_DATA))
    clock.set(JUNE)
    return job.id


async def retrieve_model(client, bare, _):
    (model, *_) = (
        listed_model.id
        for listed_model in await listed(bare.models.list())
        if listed_model.id.startswith("ft:")
    )
    return await done(client.models.retrieve(model))


JOBS = {
    "list": lambda client, *_: done(client.fine_tuning.jobs.list()),
    "pages": lambda client, *_: listed(client.fine_tuning.jobs.list(limit=1)),
    "retrieve": lambda client, _, job: done(client.fine_tuning.jobs.retrieve(job)),
}
MODELS = {"models": lambda client, *_: done(client.models.list()), "model": retrieve_model}


@pytest.mark.parametrize("look", [*JOBS.values(), *MODELS.values()], ids=[*JOBS, *MODELS])
async def test_retrieved_jobs_and_models_prove_fine_tuning(client, bare, job, look):
    assert "unknown" == (await done(client.guard.check())).verdict.value
    await look(client, bare, job)
    eligibility = await done(client.guard.check())
    assert ("eligible", "earlier_fine_tuning") == (eligibility.verdict.value, eligibility.reason.value)
    created_at = APRIL if look in JOBS.values() else APRIL + timedelta(minutes=30)
    assert created_at == (await done(client.guard.history())).evidence.fine_tuned_by


@pytest.mark.parametrize("look", [JOBS["pages"], JOBS["retrieve"]], ids=["pages", "retrieve"])
async def test_job_teaches_the_organizations_id(client, bare, job, sim, store, connect, look):
    await look(client, bare, job)
    await done(client.guard.flush())
    organization = sim.organization()
    assert organization.slug == store.organization_of(organization.id)
    newcomer = connect(api_key="sk-new", organization=organization.id)
    assert organization.slug == (await done(newcomer.guard.check())).organization


async def test_created_job_proves_fine_tuning(connect, bare, job, store, sim):
    client = connect(config={"on_unknown": "allow"})
    await create_job(client, training_file=sim.add_file(content=TRAINING_DATA))
    await done(client.guard.flush())
    organization = sim.organization()
    assert "earlier_fine_tuning" == (await done(connect().guard.check())).reason.value
    assert organization.slug == store.organization_of(organization.id)


async def test_base_models_prove_no_fine_tuning(connect, clock, sim):
    clock.set(JUNE)
    stranger = sim.add_organization(slug="new-1", api_key="sk-new")
    client = connect(api_key=stranger.api_key)
    for look in (MODELS["models"], JOBS["list"]):
        await look(client, None, None)
    await done(client.models.retrieve(BASE))
    assert "unknown" == (await done(client.guard.check())).verdict.value
    assert (await done(client.guard.history())).evidence.fine_tuned_by is None


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_inactive_guard_learns_nothing(connect, batch, bare, sim, store, fields):
    client = connect(config=fields)
    for look in LOOKS.values():
        await look(client, batch)
    for look in (MODELS["models"], JOBS["list"]):
        await look(client, bare, None)
    await done(client.guard.flush())
    assert () == store.organizations()
    assert {} == store.aliases()
