"""The ends of models, as a program meets them: before a job, while a model is in use, after its end."""

from __future__ import annotations

import asyncio
import inspect
import logging
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
    ModelLifetimeError,
    ModelSunsetWarning,
    ShortLivedModelError,
    ShortLivedModelWarning,
)
from finetune_guard.domain.catalog import Lifetime, ModelCatalog, published_catalog
from finetune_guard.simulator import Fault, Simulator
from tests.client.both_ways import done
from tests.client.scenarios import INFERENCES
from tests.support.constants import BASE, MESSAGES, TRAINING_DATA
from tests.support.stores import Elsewhere

pytestmark = pytest.mark.anyio

NANO = "gpt-4.1-nano-2025-04-14"
LONG = "gpt-9-2030-01-01"
NOVEMBER = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
SHUTDOWN = datetime(2027, 1, 14, tzinfo=timezone.utc)
DAY = timedelta(days=1)
CHAT = "/v1/chat/completions"
TOLD_BY_THE_API = date(2026, 12, 10)


@pytest.fixture
def clock(clock):
    """November 22, 2026: every base that can be tuned ends within 53 days."""
    clock.set(NOVEMBER)
    return clock


@pytest.fixture
def catalog():
    """A table that differs from the published one: the base ends earlier, and there is a lasting one."""
    rows = [row for row in published_catalog().base_models if row.id != BASE]
    ends = {BASE: TOLD_BY_THE_API, LONG: date(2030, 1, 1)}
    rows += [Lifetime(id=name, shutdown=day, fine_tunes_shutdown=day) for name, day in ends.items()]
    return ModelCatalog(as_of=date(2026, 11, 22), source="test", base_models=tuple(rows))


@pytest.fixture
def later_api(clock, catalog):
    """An API whose dates are others than the table's."""
    with Simulator(clock=clock, catalog=catalog) as simulator:
        yield simulator


@pytest.fixture
async def train(bare, sim):
    """Creates jobs with a client, of a file that an unguarded one has uploaded."""
    file = await done(bare.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))

    async def create(client, base=BASE, **options):
        return await done(client.fine_tuning.jobs.create(model=base, training_file=file.id, **options))

    sim.clear_calls()
    return create


@pytest.fixture
async def used(client, infer):
    """A client whose organization has run an inference, so that jobs may be created."""
    await infer(client)
    return client


def line_here():
    return inspect.currentframe().f_back.f_lineno


def caught_by(kind, caught):
    return [each for each in caught if issubclass(each.category, kind)]


# Before a job.


async def test_a_base_that_is_gone_stops_the_job(used, train, posts):
    """The job is not sent, and the error tells the day, its source, and what can be tuned."""
    with pytest.raises(BaseModelShutDownError) as caught:
        await train(used, NANO)
    error = caught.value
    assert 0 == posts("/fine_tuning/jobs")
    assert isinstance(error, openai.OpenAIError)
    assert isinstance(error, ModelLifetimeError)
    assert (NANO, date(2026, 10, 23)) == (error.model, error.shutdown.day)


async def test_a_short_lived_base_is_warned_about(way, used, bare, posts):
    """The job is created; the warning points at the caller's line and tells the day and its source."""
    file = await done(bare.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))
    create = partial(used.fine_tuning.jobs.create, model=BASE, training_file=file.id)
    with pytest.warns(ShortLivedModelWarning) as caught:
        job, line = (await create() if way.is_async else create()), line_here()
    assert job.id.startswith("ftjob-")
    (warning,) = caught_by(ShortLivedModelWarning, caught)
    assert (__file__, line) == (warning.filename, warning.lineno)
    text = str(warning.message)
    assert f"A fine-tune of {BASE} made now would live for about 52 days" in text
    assert 1 == text.count("2027-01-14 (according to finetune-guard's table of 2026-11-22)")
    assert 1 == posts("/fine_tuning/jobs")


async def test_it_is_warned_about_once(used, train):
    """The second job of the same base is created in silence, by a copy of the client too."""
    with pytest.warns(ShortLivedModelWarning):
        await train(used)
    await train(used)
    await train(used.with_options(timeout=20))
    with pytest.warns(ShortLivedModelWarning):
        await train(used, "gpt-4.1-2025-04-14")


async def test_a_warning_that_is_an_error_ends_no_job(used, train, posts, caplog):
    """With ``-W error`` the warning is logged, and the job is created."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await train(used)
    assert 1 == posts("/fine_tuning/jobs")
    assert f"A fine-tune of {BASE} made now" in caplog.text


async def test_a_job_that_is_stopped_is_not_warned_about(client, infer, train):
    """An organization that may not create the job hears that, and of its base when it may."""
    with pytest.raises(openai.OpenAIError, match="was not created"):
        await train(client)
    await infer(client)
    with pytest.warns(ShortLivedModelWarning):
        await train(client)


async def test_uploads_say_nothing(used):
    """A file has no model yet."""
    await done(used.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_elsewhere_bases_are_left_alone(connect, train, fields):
    """On another host, or switched off, no base is looked at."""
    client = connect(config=fields)
    with pytest.raises(openai.APIStatusError) as caught:
        await train(client, NANO)
    assert not isinstance(caught.value, ModelLifetimeError)


# Dates that the API tells.


@pytest.fixture
def connect_later(later_api, connect):
    """Makes clients of the API whose dates are others than the table's."""

    def make(store, **fields):
        config = {"hosts": [later_api.host], "store": store, **fields}
        return connect(config=config, base_url=later_api.base_url, api_key=later_api.organization().api_key)

    return make


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
async def test_the_apis_dates_beat_the_table(connect_later, later_api, store, look):
    """Once the models were looked at, the API's date counts, and the warning says whose it is."""
    client = connect_later(store)
    prospect = await done(client.guard.prospect(BASE))
    assert (date(2027, 1, 14), DateSource.TABLE) == (
        prospect.base_shutdown.day,
        prospect.base_shutdown.source,
    )
    await done(look(client))
    prospect = await done(client.guard.prospect(BASE))
    assert (TOLD_BY_THE_API, DateSource.MODEL) == (prospect.base_shutdown.day, prospect.base_shutdown.source)
    mine = later_api.add_model(base=BASE)
    with pytest.warns(ModelSunsetWarning, match=r"2026-12-10 \(according to the API for the base model"):
        await done(client.chat.completions.create(model=mine, messages=MESSAGES))


async def test_dates_are_remembered_for_other_processes(connect_later, tmp_path):
    """``models(refresh=True)`` has the store remember them; another process decides by them."""
    folder = tmp_path / "history"
    first = connect_later(Elsewhere(folder), warn_below_lifetime=None)
    await done(first.guard.models())
    untold = await done(connect_later(Elsewhere(folder)).guard.prospect(BASE))
    assert DateSource.TABLE is untold.base_shutdown.source
    await done(first.guard.models(refresh=True))

    second = connect_later(Elsewhere(folder), min_model_lifetime=timedelta(days=30))
    await done(second.guard.record(f"ft:{BASE}:acme::AbC123xY"))
    told = await done(second.guard.prospect(BASE))
    assert (TOLD_BY_THE_API, DateSource.MODEL) == (told.base_shutdown.day, told.base_shutdown.source)
    with pytest.raises(ShortLivedModelError, match=r"2026-12-10 \(according to the API on 2026-11-22; "):
        await done(second.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    lasting = await done(second.guard.prospect(LONG))
    assert date(2030, 1, 1) == lasting.fine_tunes_shutdown.day


# While a model is in use.


@pytest.fixture
def sunset(clock):
    """Twelve days before the end of every fine-tune."""
    clock.set(SHUTDOWN - 12 * DAY)


@pytest.fixture(params=INFERENCES, ids=lambda scenario: scenario.__name__)
def scenario(request):
    return request.param


async def test_a_model_that_ends_soon_is_warned_about(client, bare, model, sunset, scenario):
    """Whichever way it is called, the program is told once, at its own line, and gets what it asked for."""
    with pytest.warns(ModelSunsetWarning) as caught:
        await scenario(client, model)
    (warning,) = caught_by(ModelSunsetWarning, caught)
    assert Path(__file__).parent == Path(warning.filename).parent
    assert f"{model} will be shut down in 12 days, on 2027-01-14" in str(warning.message)
    assert "gpt-6-luna, which can't be fine-tuned" in str(warning.message)
    await scenario(client, model)  # warnings are errors here: it isn't said again


async def test_a_look_at_the_models_says_nothing_again(client, infer, sunset):
    """What the API says of the models' ends makes a warning anew only where an end has changed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            await infer(client)
            await done(client.models.list())
    assert 2 >= sum(warning.category is ModelSunsetWarning for warning in caught)


async def test_a_warning_that_is_an_error_is_logged(client, infer, sunset, caplog):
    """With ``-W error`` the answer, which is there already, still comes; the log has the warning."""
    with caplog.at_level(logging.WARNING, "finetune_guard"):
        assert "chat.completion" == (await infer(client)).object
    assert 1 == caplog.text.count("will be shut down in 12 days")


async def test_a_hook_for_warnings_that_fails_is_survived(client, infer, sunset, monkeypatch):
    """A program's own way to show warnings can fail; the answer still comes."""

    def fail(*arguments, **options):
        raise RuntimeError("no terminal")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", fail)
        assert "chat.completion" == (await infer(client)).object


async def test_it_points_at_the_callers_line(way, client, model, sunset):
    """The warning names the line that made the call."""
    create = partial(client.chat.completions.create, model=model, messages=MESSAGES)
    with pytest.warns(ModelSunsetWarning) as caught:
        _, line = (await create() if way.is_async else create()), line_here()
    (warning,) = caught_by(ModelSunsetWarning, caught)
    assert (__file__, line) == (warning.filename, warning.lineno)


async def test_it_points_at_the_line_of_a_task_or_thread(way, client, model, sunset):
    """In a task or a thread of its own the warning still names the program's code."""
    create = partial(client.chat.completions.create, model=model, messages=MESSAGES)

    async def call():
        await create()

    def call_in_thread():
        create()

    with pytest.warns(ModelSunsetWarning) as caught:
        await (asyncio.create_task(call()) if way.is_async else asyncio.to_thread(call_in_thread))
    (warning,) = caught_by(ModelSunsetWarning, caught)
    assert __file__ == warning.filename


@pytest.mark.parametrize("call", ["chat", "stream", "raw", "embedding"])
async def test_base_models_are_warned_about_on_request(connect, sunset, call):
    """With ``warn_models="all"`` any model that is called and ends soon is told of once, fine-tune or not."""
    client = connect(config={"warn_models": "all", "model_dates": {"text-embedding-3-small": "2027-01-10"}})
    model = "text-embedding-3-small" if call == "embedding" else "gpt-4o-mini"

    async def run(_):
        if call == "embedding":
            return await done(client.embeddings.create(model=model, input="a"))
        chat = client.chat.completions
        create = chat.with_raw_response.create if call == "raw" else chat.create
        return await done(create(model=model, messages=MESSAGES, stream=call == "stream"))

    with pytest.warns(ModelSunsetWarning, match=f"{model} will be shut down in") as caught:
        await run(await run(None))
    assert 1 == len(caught_by(ModelSunsetWarning, caught))


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_elsewhere_nothing_is_said(connect, infer, sunset, fields):
    """On another host, or switched off, no model is warned about."""
    await infer(connect(config=fields))


# After its end.


@pytest.mark.parametrize(
    "call",
    [
        lambda client, model: client.chat.completions.create(model=model, messages=MESSAGES, stream=True),
        lambda client, model: client.chat.completions.with_raw_response.create(
            model=model, messages=MESSAGES
        ),
    ],
    ids=["stream", "raw"],
)
async def test_a_404_after_the_end_is_explained(client, model, clock, call):
    """It is the SDK's error with all that it carries, and says that the model's day has come."""
    clock.set(SHUTDOWN + DAY)
    with pytest.raises(FineTunedModelShutDownError) as caught:
        await done(call(client, model))
    error = caught.value
    assert isinstance(error, openai.NotFoundError)
    assert (404, "model_not_found") == (error.status_code, error.code)
    assert error.request_id.startswith("req_")
    assert error.request_id == error.response.headers["x-request-id"]
    assert "has been deprecated" in error.body["message"]
    assert str(error.response.request.url).endswith("/chat/completions")
    assert (model, date(2027, 1, 14)) == (error.model, error.shutdown.day)
    assert str(error).startswith(f"{model} does not answer any more")
    assert type(error.__cause__) is openai.NotFoundError
    assert error.__cause__.response is error.response


async def same_error_as_bare(client, bare, call):
    """What a client raises, which must be of the SDK's own class and words."""
    raised = []
    for each in (client, bare):
        with pytest.raises(openai.APIStatusError) as caught:
            await done(call(each))
        raised.append(caught.value)
    ours, theirs = raised
    assert type(theirs) is type(ours)
    assert (str(theirs), theirs.body, theirs.status_code) == (str(ours), ours.body, ours.status_code)
    assert ours.__cause__ is None or not isinstance(ours.__cause__, openai.APIStatusError)
    return ours


OTHER_ERRORS = {
    "another code": Fault(path=CHAT, status=404, code="conversation_not_found", times=2),
    "another status": Fault(path=CHAT, status=403, code="model_not_found", times=2),
    "a page": Fault(path=CHAT, status=404, body="<html>", times=2),
    "an odd code": Fault(path=CHAT, status=404, body='{"error": {"code": ["x"]}}', times=2),
}


@pytest.mark.parametrize("fault", OTHER_ERRORS.values(), ids=OTHER_ERRORS)
async def test_another_error_is_the_sdks(client, bare, model, sim, clock, fault):
    """Only 404 ``model_not_found`` speaks of the model; a gateway's own page is left as it is."""
    clock.set(SHUTDOWN + DAY)
    sim.fault(fault)
    await same_error_as_bare(
        client, bare, lambda each: each.chat.completions.create(model=model, messages=MESSAGES)
    )


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_a_404_of_another_host_is_the_sdks(connect, bare, model, clock, fields):
    """Elsewhere the dates mean nothing."""
    clock.set(SHUTDOWN + DAY)
    await same_error_as_bare(
        connect(config=fields),
        bare,
        lambda each: each.chat.completions.create(model=model, messages=MESSAGES),
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda each, model: each.models.retrieve(model),
        lambda each, model: each.fine_tuning.jobs.retrieve("ftjob-none"),
        lambda each, _: each.chat.completions.create(model=NANO, messages=MESSAGES),
    ],
    ids=["model", "job", "base model"],
)
async def test_a_404_of_no_fine_tuned_inference_is_the_sdks(client, bare, clock, call):
    """Who asks about a model without calling it, or calls a base model, is answered by the API alone."""
    clock.set(SHUTDOWN + DAY)
    gone = f"ft:{BASE}:acme::Deleted1"
    await same_error_as_bare(client, bare, lambda each: call(each, gone))
