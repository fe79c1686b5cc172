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
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from tests.client.both_ways import done, first_of
from tests.client.scenarios import INFERENCES
from tests.support.constants import BASE, MESSAGES, TRAINING_DATA

pytestmark = pytest.mark.anyio

NANO = "gpt-4.1-nano-2025-04-14"
LONG = "gpt-9-2030-01-01"
NOVEMBER = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
SHUTDOWN = datetime(2027, 1, 14, tzinfo=timezone.utc)
DAY = timedelta(days=1)
CHAT = "/v1/chat/completions"
TOLD_BY_THE_API = date(2026, 12, 10)


class Elsewhere(DiskStore):
    """A folder as another process sees it: nothing in memory is shared."""

    @property
    def place(self):
        return id(self)


class Broken(MemoryStore):
    """A store that keeps histories and fails with everything about shutdown dates."""

    def announced(self):
        raise RuntimeError("no")

    def announce(self, announced):
        raise RuntimeError("no")


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


@pytest.mark.parametrize("base", [NANO, f"ft:{NANO}:acme::AbC123xY"], ids=["base", "fine-tune"])
async def test_a_base_that_is_gone_stops_the_job(used, train, base, posts):
    """The job is not sent, and the error tells the day, its source, and what can be tuned."""
    with pytest.raises(BaseModelShutDownError) as caught:
        await train(used, base)
    error = caught.value
    assert 0 == posts("/fine_tuning/jobs")
    assert isinstance(error, openai.OpenAIError)
    assert isinstance(error, ModelLifetimeError)
    assert (base, date(2026, 10, 23), DateSource.TABLE) == (
        error.model,
        error.shutdown.day,
        error.shutdown.source,
    )
    assert f"{base} is shut down and can't be fine-tuned any more" in str(error)
    assert f"Use a base model that is not shut down: gpt-4o-2024-08-06, gpt-4o-2024-11-20, {BASE}" in str(
        error
    )


@pytest.mark.parametrize(
    "create",
    [
        lambda client: client.fine_tuning.jobs.with_raw_response.create(model=NANO, training_file="file-x"),
        lambda client: client.post("/fine_tuning/jobs", body={"model": NANO}, cast_to=object),
        lambda client: client.fine_tuning.jobs.create(
            model=BASE, training_file="file-x", extra_body={"model": NANO}
        ),
        lambda client: client.with_options(timeout=9).fine_tuning.jobs.create(
            model=NANO, training_file="file-x"
        ),
    ],
    ids=["raw", "post", "extra_body", "with_options"],
)
async def test_every_way_to_create_a_job_is_looked_at(used, posts, create):
    """The model is that of the request, however it is made."""
    with pytest.raises(BaseModelShutDownError):
        await done(create(used))
    assert 0 == posts("/fine_tuning/jobs")


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


async def test_a_minimum_stops_the_job(connect, infer, train, posts):
    """``min_model_lifetime`` makes it an error that carries the date."""
    client = connect(config={"min_model_lifetime": timedelta(days=60)})
    await infer(client)
    with pytest.raises(ShortLivedModelError, match="less than the 60 days of min_model_lifetime") as caught:
        await train(client)
    assert (BASE, date(2027, 1, 14)) == (caught.value.model, caught.value.shutdown.day)
    assert 0 == posts("/fine_tuning/jobs")


async def test_no_warning_where_it_is_off(connect, infer, train):
    """``warn_below_lifetime=None`` is silent."""
    client = connect(config={"warn_below_lifetime": None})
    await infer(client)
    await train(client)


@pytest.mark.parametrize("base", ["gpt-6-luna", "gpt-9", "ft:gpt-9:acme::x"])
async def test_a_base_without_a_date_is_the_apis_matter(used, train, posts, base):
    """What no source dates is sent; what the API makes of it comes back."""
    with pytest.raises(openai.BadRequestError):
        await train(used, base)
    assert 1 == posts("/fine_tuning/jobs")


async def test_a_fine_tune_as_a_base(used, train, model):
    """Continued training is warned about like training from the base."""
    with pytest.warns(ShortLivedModelWarning, match=f"A fine-tune of {model} made now"):
        await train(used, model)


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
    with pytest.raises(ShortLivedModelError, match=r"2026-12-10 \(according to the API on 2026-11-22\)"):
        await done(second.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    lasting = await done(second.guard.prospect(LONG))
    assert date(2030, 1, 1) == lasting.fine_tunes_shutdown.day


async def test_null_dates_leave_the_table(client, sim):
    """Where the API gives no date the table's counts."""
    rows = [{"id": BASE, "object": "model", "created": 1, "owned_by": "system", "shutdown_date": None}]
    sim.fault(Fault(method="GET", path="/v1/models", status=200, body={"object": "list", "data": rows}))
    await done(client.guard.models(refresh=True))
    prospect = await done(client.guard.prospect(BASE))
    assert (date(2027, 1, 14), DateSource.TABLE) == (
        prospect.base_shutdown.day,
        prospect.base_shutdown.source,
    )


async def test_a_store_that_fails_stops_nothing(connect, infer, train, caplog, model):
    """Where dates can't be read or written, jobs and inferences go through and the table is used."""
    client = connect(config={"store": Broken()})
    await infer(client)
    with pytest.warns(ShortLivedModelWarning):
        await train(client)
    assert model in {record.id for record in (await done(client.guard.models())).models}
    assert 1 == caplog.text.count("can't read the shutdown dates")


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


@pytest.mark.parametrize("stream", [False, True])
async def test_the_call_is_unchanged(client, bare, model, sunset, sim, stream):
    """The request that is sent, and what comes back, are those of the bare client."""

    async def call(each):
        answer = await done(each.chat.completions.create(model=model, messages=MESSAGES, stream=stream))
        return type(answer), stream and type(await first_of(answer))

    with pytest.warns(ModelSunsetWarning):
        ours = await call(client)
    assert await call(bare) == ours
    assert [model] * 2 == [served.model for served in sim.calls]


async def test_a_look_at_the_models_says_nothing_again(client, infer, sunset):
    """What the API says of the models' ends makes a warning anew only where an end has changed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            await infer(client)
            await done(client.models.list())
    assert 2 >= sum(warning.category is ModelSunsetWarning for warning in caught)


async def test_it_is_said_once_a_day(client, infer, clock, sunset, sim):
    """The next day it is said again; another model is another matter."""
    for _ in range(3):
        with pytest.warns(ModelSunsetWarning):
            await infer(client)
        await infer(client)
        await infer(client.with_options(timeout=20))
        clock.advance(DAY)
    with pytest.warns(ModelSunsetWarning):
        await infer(client)
    with pytest.warns(ModelSunsetWarning, match="other"):
        await infer(client, on=sim.add_model(suffix="other"))


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


async def test_tasks_at_once_hear_it_once(way, client, model, sunset):
    """Calls in flight together warn once, and all are answered."""
    if not way.is_async:
        pytest.skip("the sync half has no tasks")
    create = partial(client.chat.completions.create, model=model, messages=MESSAGES)
    with pytest.warns(ModelSunsetWarning) as caught:
        answers = await asyncio.gather(*(create() for _ in range(20)))
    assert 20 == len(answers)
    assert 1 == len(caught_by(ModelSunsetWarning, caught))


@pytest.mark.parametrize("days", [31, 60])
async def test_a_model_with_time_left_is_not_warned_about(client, infer, clock, days):
    """More than thirty days before its end there is nothing to say."""
    clock.set(SHUTDOWN - days * DAY)
    await infer(client)


async def test_base_models_are_not_warned_about(client, infer, sunset):
    """A base model in use is not the guard's matter."""
    await infer(client, on=BASE)


@pytest.mark.parametrize("fields", [{"hosts": []}, {"enabled": False}], ids=["other host", "switched off"])
async def test_elsewhere_nothing_is_said(connect, infer, sunset, fields):
    """On another host, or switched off, no model is warned about."""
    await infer(connect(config=fields))


# After its end.


@pytest.mark.parametrize(
    "call",
    [
        lambda client, model: client.chat.completions.create(model=model, messages=MESSAGES),
        lambda client, model: client.chat.completions.create(model=model, messages=MESSAGES, stream=True),
        lambda client, model: client.chat.completions.with_raw_response.create(
            model=model, messages=MESSAGES
        ),
        lambda client, model: client.with_options(timeout=9).chat.completions.create(
            model=model, messages=MESSAGES
        ),
        lambda client, model: client.post(
            "/chat/completions", body={"model": model, "messages": MESSAGES}, cast_to=object
        ),
    ],
    ids=["plain", "stream", "raw", "with_options", "post"],
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


async def test_a_404_before_the_end_is_the_sdks(client, bare, clock, sim):
    """A model that isn't there although its time hasn't come is none that was shut down."""
    clock.set(SHUTDOWN - 40 * DAY)
    gone = f"ft:{BASE}:acme::NeverMade"
    await same_error_as_bare(
        client, bare, lambda each: each.chat.completions.create(model=gone, messages=MESSAGES)
    )


async def test_a_404_of_a_base_model_is_the_sdks(client, bare):
    """A base model that is gone is the program's own matter."""
    await same_error_as_bare(
        client, bare, lambda each: each.chat.completions.create(model=NANO, messages=MESSAGES)
    )


@pytest.mark.parametrize("code", [None, "invalid_url", "conversation_not_found"])
async def test_a_404_with_another_code_is_the_sdks(client, bare, model, sim, clock, code):
    """Only ``model_not_found`` speaks of the model."""
    clock.set(SHUTDOWN + DAY)
    sim.fault(Fault(path=CHAT, status=404, code=code, message="elsewhere", times=2))
    await same_error_as_bare(
        client, bare, lambda each: each.chat.completions.create(model=model, messages=MESSAGES)
    )


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"error": 7}', '{"error": {"code": ["x"]}}', "null"])
async def test_a_404_that_is_malformed_is_the_sdks(client, bare, model, sim, clock, text):
    """A gateway's own page is left as it is."""
    clock.set(SHUTDOWN + DAY)
    sim.fault(Fault(path=CHAT, status=404, body=text, times=2))
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
        lambda each, model: each.models.delete(model),
        lambda each, model: each.fine_tuning.jobs.retrieve("ftjob-none"),
        lambda each, model: each.files.retrieve("file-none"),
    ],
    ids=["model", "deletion", "job", "file"],
)
async def test_a_404_of_no_inference_is_the_sdks(client, bare, clock, call):
    """Who asks about a model, and doesn't call it, is answered by the API alone."""
    clock.set(SHUTDOWN + DAY)
    gone = f"ft:{BASE}:acme::Deleted1"
    await same_error_as_bare(client, bare, lambda each: call(each, gone))


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 500])
async def test_other_errors_are_the_sdks(client, bare, model, sim, clock, status):
    """No other status speaks of the model's end, whatever its code says."""
    clock.set(SHUTDOWN + DAY)
    sim.fault(Fault(path=CHAT, status=status, code="model_not_found", message="no", times=2))
    await same_error_as_bare(
        client, bare, lambda each: each.chat.completions.create(model=model, messages=MESSAGES)
    )


async def test_it_is_retried_as_ever(connect, connect_bare, model, sim, clock):
    """A 404 is sent once, a failure before it is retried first: as the bare client does."""
    clock.set(SHUTDOWN + DAY)
    counts = []
    for client in (connect(max_retries=2), connect_bare(max_retries=2)):
        sim.clear_calls()
        sim.fault(Fault(path=CHAT, status=500, headers={"retry-after-ms": "1"}))
        with pytest.raises(openai.NotFoundError):
            await done(client.chat.completions.create(model=model, messages=MESSAGES))
        counts.append([call.status for call in sim.calls])
    assert [[500, 404]] * 2 == counts


async def test_a_model_that_is_gone_is_no_inference(client, model, clock):
    """A call that the API refused opens no window."""
    clock.set(SHUTDOWN + DAY)
    with pytest.raises(FineTunedModelShutDownError):
        await done(client.chat.completions.create(model=model, messages=MESSAGES))
    assert {} == (await done(client.guard.history())).models
