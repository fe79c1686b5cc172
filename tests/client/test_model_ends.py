"""Shutdowns of models: before a job, while a model is in use, and after its shutdown."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import openai
import pytest

from finetune_guard import (
    BaseModelShutDownError,
    DateSource,
    FineTunedModelShutDownError,
    FineTuningRefusedError,
    ModelSunsetWarning,
    ShortLivedModelError,
    ShortLivedModelWarning,
)
from finetune_guard.domain.catalog import Lifetime, ModelCatalog, published_catalog
from finetune_guard.simulator import Fault, Simulator
from tests.client.flavours import create_job, done
from tests.client.scenarios import INFERENCES, chat, chat_raw, chat_stream
from tests.client.test_errors_unchanged import failure_of
from tests.support.constants import BASE, DAY, MESSAGES, NOW, TRAINING_DATA
from tests.support.stores import Elsewhere

pytestmark = pytest.mark.anyio

NANO = "gpt-4.1-nano-2025-04-14"
LONG = "gpt-9-2030-01-01"
SHUTDOWN = datetime(2027, 1, 14, tzinfo=timezone.utc)
CHAT = "/v1/chat/completions"
TOLD_BY_THE_API = date(2026, 12, 10)


@pytest.fixture
def clock(clock):
    """November 22, 2026: every base that can be tuned ends within 53 days."""
    clock.set(NOW)
    return clock


@pytest.fixture
def train(sim):
    """Creates jobs with a client, of a file that the API knows."""
    return partial(create_job, training_file=sim.add_file(content=TRAINING_DATA))


@pytest.fixture
async def active_client(client, infer):
    """A client whose organization has run an inference, so that jobs may be created."""
    await infer(client)
    return client


@pytest.fixture
def near_shutdown(clock):
    """Twelve days before the end of every fine-tune."""
    clock.set(SHUTDOWN - 12 * DAY)


def line_here():
    return inspect.currentframe().f_back.f_lineno


def warnings_of(kind, caught):
    return [warning for warning in caught if issubclass(warning.category, kind)]


# Before a job.


async def test_shut_down_base_stops_the_job(active_client, train, posts):
    with pytest.raises(BaseModelShutDownError) as caught:
        await train(active_client, NANO)
    assert (NANO, date(2026, 10, 23)) == (caught.value.model, caught.value.shutdown.day)
    assert 0 == posts("/fine_tuning/jobs")


async def test_short_lived_base_is_warned_about_once_at_the_callers_line(
    flavour, active_client, train, posts
):
    """An upload says nothing."""
    file = await done(active_client.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))
    create = partial(active_client.fine_tuning.jobs.create, model=BASE, training_file=file.id)
    with pytest.warns(ShortLivedModelWarning) as caught:
        job, line = (await create() if flavour.is_async else create()), line_here()
    assert job.id.startswith("ftjob-")
    (warning,) = warnings_of(ShortLivedModelWarning, caught)
    assert (__file__, line) == (warning.filename, warning.lineno)
    await train(active_client)
    await train(active_client.with_options(timeout=300))
    with pytest.warns(ShortLivedModelWarning):
        await train(active_client, "gpt-4.1-2025-04-14")
    assert 4 == posts("/fine_tuning/jobs")


async def test_stopped_job_is_not_warned_about(client, infer, train):
    with pytest.raises(openai.OpenAIError, match="was not created"):
        await train(client)
    await infer(client)
    with pytest.warns(ShortLivedModelWarning):
        await train(client)


# Dates that the API tells.


@pytest.fixture
def later_api(clock):
    """An API whose dates are others than the table's: the base ends earlier, and there is a lasting one."""
    rows = [row for row in published_catalog().base_models if row.id not in {BASE, NANO}]
    days = {BASE: TOLD_BY_THE_API, LONG: date(2030, 1, 1), NANO: date(2027, 12, 1)}
    rows += [Lifetime(id=name, shutdown=day, fine_tunes_shutdown=day) for name, day in days.items()]
    catalog = ModelCatalog(as_of=NOW.date(), source="test", base_models=tuple(rows))
    with Simulator(clock=clock, catalog=catalog) as simulator:
        yield simulator


@pytest.fixture
def connect_later(later_api, connect):
    """Makes clients of that API."""

    def make(store, **fields):
        config = {"hosts": [later_api.host], "store": store, **fields}
        return connect(config=config, base_url=later_api.base_url, api_key=later_api.organization().api_key)

    return make


async def end_of_base(client):
    end = (await done(client.guard.prospect(BASE))).base_shutdown
    return end.day, end.source


@pytest.mark.parametrize(
    "look",
    [
        lambda client: client.models.list(),
        lambda client: client.models.retrieve(BASE),
        lambda client: client.guard.models(),
        lambda client: client.guard.check(refresh=True),
    ],
    ids=["list", "retrieve", "inventory", "check"],
)
async def test_api_date_overrides_the_table(connect_later, later_api, store, look):
    client = connect_later(store)
    assert (date(2027, 1, 14), DateSource.TABLE) == await end_of_base(client)
    await done(look(client))
    assert (TOLD_BY_THE_API, DateSource.MODEL) == await end_of_base(client)
    mine = later_api.add_model(base=BASE)
    with pytest.warns(ModelSunsetWarning, match=r"2026-12-10 \(according to the API for the base model"):
        await chat(client, mine)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (None, FineTuningRefusedError),  # by the API, which knows no inference: the job was sent
        ({"status": 500}, BaseModelShutDownError),
        ({"status": 401}, FineTuningRefusedError),
    ],
    ids=["it lives on", "the API can't say", "a key that was refused"],
)
async def test_api_is_asked_before_a_date_stops_a_job(connect_later, later_api, store, fault, raised):
    """A provider moves a date: what GET /models says then counts, although the window is known to be open."""
    client = connect_later(store, warn_below_lifetime=None)
    await done(client.guard.record(f"ft:{BASE}:acme::AbC123xY"))
    if fault is not None:
        later_api.fault(Fault(path="/v1/models", method="GET", **fault))
        later_api.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", **fault))
    with pytest.raises(openai.OpenAIError) as caught:
        await create_job(client, NANO)
    assert raised is type(caught.value)


async def test_refreshed_dates_reach_other_processes(connect_later, tmp_path):
    folder = tmp_path / "history"
    first = connect_later(Elsewhere(folder), warn_below_lifetime=None)
    await done(first.guard.models())
    assert DateSource.TABLE is (await end_of_base(connect_later(Elsewhere(folder))))[1]
    await done(first.guard.models(refresh=True))
    second = connect_later(Elsewhere(folder), min_model_lifetime=timedelta(days=30))
    await done(second.guard.record(f"ft:{BASE}:acme::AbC123xY"))
    assert (TOLD_BY_THE_API, DateSource.MODEL) == await end_of_base(second)
    with pytest.raises(ShortLivedModelError, match=r"2026-12-10 \(according to the API on 2026-11-22; "):
        await create_job(second)
    assert date(2030, 1, 1) == (await done(second.guard.prospect(LONG))).fine_tunes_shutdown.day


# While a model is in use.


@pytest.mark.parametrize("scenario", INFERENCES, ids=lambda scenario: scenario.__name__)
async def test_model_close_to_shutdown_is_warned_about_once(client, model, near_shutdown, scenario):
    with pytest.warns(ModelSunsetWarning) as caught:
        await scenario(client, model)
    (warning,) = warnings_of(ModelSunsetWarning, caught)
    assert Path(__file__).parent == Path(warning.filename).parent
    assert f"{model} will be shut down in 12 days, on 2027-01-14" in str(warning.message)
    await scenario(client, model)  # warnings are errors here: it isn't said again


async def test_failing_warning_is_logged_and_the_call_succeeds(
    active_client, infer, train, clock, caplog, monkeypatch
):
    def fail(*arguments, **options):
        raise RuntimeError("no terminal")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (await train(active_client)).id.startswith("ftjob-")
        clock.set(SHUTDOWN - 12 * DAY)
        assert "chat.completion" == (await infer(active_client)).object
    assert f"A fine-tune of {BASE} made now" in caplog.text
    assert 1 == caplog.text.count("will be shut down in 12 days")
    clock.advance(DAY)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", fail)
        assert "chat.completion" == (await infer(active_client)).object
    assert 1 == caplog.text.count("will be shut down in 11 days")


async def test_warning_points_at_the_callers_line(flavour, client, model, clock):
    """It does in a task or thread of its own as well."""
    create = partial(client.chat.completions.create, model=model, messages=MESSAGES)

    async def call():
        return (await create() if flavour.is_async else create()), line_here()

    async def call_elsewhere():
        here = asyncio.create_task(call()) if flavour.is_async else None
        return await (here or asyncio.to_thread(lambda: (create(), line_here())))

    for days, calling in ((12, call), (11, call_elsewhere)):
        clock.set(SHUTDOWN - days * DAY)
        with pytest.warns(ModelSunsetWarning) as caught:
            _, line = await calling()
        (warning,) = warnings_of(ModelSunsetWarning, caught)
        assert (__file__, line) == (warning.filename, warning.lineno)


@pytest.mark.parametrize("call", ["chat", "stream", "raw", "embedding"])
async def test_warn_models_all_warns_about_base_models(connect, near_shutdown, call):
    client = connect(config={"warn_models": "all", "model_dates": {"text-embedding-3-small": "2027-01-10"}})
    model = "text-embedding-3-small" if call == "embedding" else "gpt-4o-mini"

    async def run_twice():
        for _ in range(2):
            if call == "embedding":
                await done(client.embeddings.create(model=model, input="a"))
            else:
                await {"chat": chat, "stream": chat_stream, "raw": chat_raw}[call](client, model)

    with pytest.warns(ModelSunsetWarning, match=f"{model} will be shut down in") as caught:
        await run_twice()
    assert 1 == len(warnings_of(ModelSunsetWarning, caught))


# After its end.


@pytest.mark.parametrize("call", [chat_stream, chat_raw], ids=lambda call: call.__name__)
async def test_a_404_after_the_end_is_explained(client, model, clock, call):
    clock.set(SHUTDOWN + DAY)
    with pytest.raises(FineTunedModelShutDownError) as caught:
        await call(client, model)
    error = caught.value
    assert isinstance(error, openai.NotFoundError)
    assert (404, "model_not_found") == (error.status_code, error.code)
    assert error.request_id == error.response.headers["x-request-id"]
    assert "has been deprecated" in error.body["message"]
    assert (model, SHUTDOWN.date()) == (error.model, error.shutdown.day)
    assert str(error).startswith(f"{model} does not answer any more")
    assert type(error.__cause__) is openai.NotFoundError
    assert error.__cause__.response is error.response


OTHERS = {
    "another code": (chat, Fault(path=CHAT, status=404, code="conversation_not_found", times=2)),
    "another status": (chat, Fault(path=CHAT, status=403, code="model_not_found", times=2)),
    "a page": (chat, Fault(path=CHAT, status=404, body="<html>", times=2)),
    "an odd code": (chat, Fault(path=CHAT, status=404, body='{"error": {"code": ["x"]}}', times=2)),
    "model": (lambda client, _: done(client.models.retrieve(f"ft:{BASE}:acme::Deleted1")), None),
    "job": (lambda client, _: done(client.fine_tuning.jobs.retrieve("ftjob-none")), None),
    "base model": (lambda client, _: chat(client, NANO), None),
}


@pytest.mark.parametrize(("call", "fault"), OTHERS.values(), ids=OTHERS)
async def test_other_errors_are_not_explained(client, bare, model, sim, clock, call, fault):
    """Only 404 ``model_not_found`` of an inference on a fine-tune is."""
    clock.set(SHUTDOWN + DAY)
    if fault is not None:
        sim.fault(fault)
    assert await failure_of(call, bare, model) == await failure_of(call, client, model)


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_inactive_guard_says_nothing_about_dates(connect, bare, infer, train, model, clock, fields):
    client = connect(config=fields)
    assert await failure_of(train, bare, NANO) == await failure_of(train, client, NANO)
    clock.set(SHUTDOWN - 12 * DAY)
    await infer(client)
    clock.set(SHUTDOWN + DAY)
    assert await failure_of(chat, bare, model) == await failure_of(chat, client, model)
