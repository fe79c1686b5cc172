"""A job that could not be created is stopped before anything is sent, with an error that explains why."""

from __future__ import annotations

import logging
import traceback
import warnings
from datetime import datetime, timedelta, timezone

import openai
import pytest

from finetune_guard import (
    Coverage,
    EligibilityWarning,
    FineTuneGuardError,
    FineTuningClosedError,
    FineTuningRefusedError,
    GuardConfig,
    InferenceWindowExpiredError,
    NeverFineTunedError,
    NoInferenceRecordedError,
    NotEligibleError,
    PolicyBoundaryWarning,
    Verdict,
)
from tests.client.flavours import create_job, done, entered
from tests.support.constants import BASE, START, TRAINING_DATA

pytestmark = pytest.mark.anyio

JOBS = "/fine_tuning/jobs"
JOB = {"model": BASE, "training_file": "file-x"}
SPRING, JUNE = datetime(2026, 4, 1, tzinfo=timezone.utc), datetime(2026, 6, 1, tzinfo=timezone.utc)
FIRST_MOMENT = datetime(2027, 1, 5, 10, tzinfo=timezone.utc)
LAST_MOMENT = datetime(2027, 1, 7, 12, tzinfo=timezone.utc) - timedelta(seconds=1)
AFTER_THE_END = datetime(2027, 1, 8, tzinfo=timezone.utc)


async def create_streamed(client):
    creating = client.fine_tuning.jobs.with_streaming_response.create(**JOB)
    async with entered(creating) as response:
        return await done(response.parse())


WAYS_TO_CREATE = {
    "create": create_job,
    "streamed": create_streamed,
    "raw": lambda client: done(client.fine_tuning.jobs.with_raw_response.create(**JOB)),
    "post": lambda client: done(client.post(JOBS, body=JOB, cast_to=object)),
    "with options": lambda client: create_job(client.with_options(timeout=300).copy(max_retries=1)),
}
by_every_way = pytest.mark.parametrize("creating", WAYS_TO_CREATE.values(), ids=WAYS_TO_CREATE)


async def stopped(creation):
    with pytest.raises(NotEligibleError) as caught:
        await creation
    return caught.value


@by_every_way
async def test_lapsed_window_stops_the_job(client, infer, clock, posts, model, creating):
    await infer(client)
    now = clock.advance(timedelta(days=60))

    async def create():
        await creating(client)

    error = await stopped(create())
    assert type(error) is InferenceWindowExpiredError
    assert isinstance(error, openai.PermissionDeniedError)  # which existing except clauses catch
    assert ("training_not_available", False) == (error.code, error.sent)
    assert str(client.base_url).rstrip("/") + JOBS == str(error.request.url)
    assert (Verdict.UNKNOWN, Coverage.LOCAL) == (error.eligibility.verdict, error.eligibility.coverage)
    assert (now, model) == (error.eligibility.window_closed_at, error.eligibility.last_inference.model)
    assert (0, 1) == (posts(JOBS), posts("/chat/completions"))  # a keep-alive is never sent unasked


async def test_open_window_lets_the_job_through(client, infer, clock, sim):
    await infer(client)
    clock.advance(timedelta(days=60, seconds=-1))
    with pytest.raises(openai.BadRequestError, match="invalid training_file"):
        await create_job(client)
    assert JOBS == sim.calls[-1].path.removeprefix("/v1")


@pytest.mark.parametrize(
    ("organization", "now", "kind", "asked"),
    [
        ("acme-28gund", START, NoInferenceRecordedError, ["/v1/models"]),  # which tell whose the key is
        ("new-1", START, NeverFineTunedError, ["/v1/models", "/v1/fine_tuning/jobs"]),
        ("acme-28gund", AFTER_THE_END, FineTuningClosedError, ["/v1/models"]),
    ],
    ids=["nothing known", "never fine-tuned", "closed"],
)
async def test_job_without_evidence_or_after_the_end_is_stopped(
    connect, sim, model, clock, organization, now, kind, asked
):
    clock.set(now)
    newcomer = sim.add_organization(slug="new-1", api_key="sk-new")
    client = connect(**({"api_key": newcomer.api_key} if organization == "new-1" else {}))
    error = await stopped(create_job(client))
    assert (kind, organization) == (type(error), error.eligibility.organization)
    assert asked == [call.path for call in sim.calls]
    assert {"GET"} == {call.method for call in sim.calls}


@pytest.mark.parametrize("slow", [timedelta(days=-2), timedelta(days=2)], ids=["fast", "slow"])
async def test_wrong_clock_is_corrected_by_the_apis_dates(connect, infer, clock, model, slow):
    client = connect(config={"clock": lambda: clock() - slow})
    with pytest.raises(openai.NotFoundError):  # an error's answer tells it as well
        await done(client.models.retrieve("gpt-of-another-time"))
    assert clock() == (await done(client.guard.check())).checked_at
    await infer(client)
    clock.advance(timedelta(days=60))
    assert "window_expired" == (await done(client.guard.check())).reason.value
    clock.set(AFTER_THE_END - timedelta(days=1, hours=13))
    await infer(client)
    assert "policy_boundary" == (await done(client.guard.check())).reason.value
    clock.set(AFTER_THE_END)
    assert "closed" == (await done(client.guard.check())).reason.value


@pytest.mark.parametrize(
    ("last", "now", "days"),
    [
        (START, START + timedelta(days=59), 3),
        (AFTER_THE_END - timedelta(days=4), AFTER_THE_END - timedelta(days=3), 3),
        (START, START + timedelta(days=40), 30),
        (AFTER_THE_END - timedelta(days=50), AFTER_THE_END - timedelta(days=49), 60),
    ],
    ids=["window", "closing date", "window, by a clock in doubt", "closing date, by a clock in doubt"],
)
async def test_clock_ahead_stops_no_job(connect, infer, clock, posts, last, now, days):
    """The API is asked for the time first."""
    clock.set(last)
    await infer(connect())
    clock.set(now)
    ahead = connect(config={"clock": lambda: clock() + timedelta(days=days), "warn_below_lifetime": None})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(openai.BadRequestError):
            await create_job(ahead)
    expected = [EligibilityWarning] if days > 7 else []  # a first answer is believed up to a week off
    assert (1, expected) == (posts(JOBS), [each.category for each in caught])


async def test_clock_set_ahead_in_a_running_program_stops_no_job(connect, infer, clock):
    clock.set(AFTER_THE_END - timedelta(days=49))
    off = timedelta(0)
    client = connect(config={"clock": lambda: clock() + off, "warn_below_lifetime": None})
    await infer(client)
    off = timedelta(days=60)
    with pytest.raises(openai.BadRequestError):
        await create_job(client)


async def test_error_names_call_rule_evidence_and_remedy(client, infer, clock, model, sim):
    await infer(client)
    clock.advance(timedelta(days=61))
    error = await stopped(create_job(client))
    what, rule, evidence, remedy = str(error).splitlines()
    assert what.startswith("The fine-tuning job was not created: ")
    assert "2026-09-30 00:00 UTC" in what
    assert rule.startswith('Rule: since 2026-07-02: "Creating fine-tuning jobs is no longer available')
    assert model in evidence
    assert "2026-08-01 00:00 UTC" in evidence
    assert "not the whole organization" in evidence
    assert f"What to do: {error.remedy}" == remedy
    assert "client.guard.keep_alive()" in remedy
    shown = [repr(error), *traceback.format_exception(error), repr(error.eligibility)]
    assert sim.organization().api_key not in "".join([*shown, error.eligibility.model_dump_json()])


@pytest.mark.parametrize("on_unknown", ["warn", "allow"])
async def test_local_lapse_is_left_to_the_api(connect, infer, clock, posts, on_unknown):
    client = connect(config={"on_unknown": on_unknown})
    await infer(client)
    clock.advance(timedelta(days=61))
    expected = [EligibilityWarning] if on_unknown == "warn" else []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refused = await stopped(create_job(client))
    assert (FineTuningRefusedError, True, 1) == (type(refused), refused.sent, posts(JOBS))
    assert expected == [warning.category for warning in caught]


async def test_every_on_unknown_setting_stops_jobs_after_the_end(connect, infer, clock, posts):
    client = connect(config={"on_unknown": "allow"})
    clock.set(AFTER_THE_END)
    await infer(client)
    error = await stopped(create_job(client, base="gpt-4-0613"))
    assert (FineTuningClosedError, 0) == (type(error), posts(JOBS))


async def test_with_options_can_disable_the_guard_for_one_call(client, infer, clock, posts):
    await infer(client)
    clock.advance(timedelta(days=61))
    unchecked = client.with_options(guard=GuardConfig(enabled=False))
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await create_job(unchecked)
    assert not isinstance(refused.value, FineTuneGuardError)
    await done(unchecked.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))
    await stopped(create_job(client))
    assert (1, 1) == (posts(JOBS), posts("/files"))


async def test_unnamed_host_is_logged_once(connect, infer, caplog):
    client = connect(config={"hosts": []})
    with caplog.at_level(logging.INFO, "finetune_guard"):
        await infer(client)
        await infer(client.with_options(timeout=300))
    (record,) = [record for record in caplog.records if "inactive" in record.getMessage()]
    assert ("INFO", True) == (record.levelname, "FINETUNE_GUARD_HOSTS" in record.getMessage())


# The policy's dates.

NO_OTHER_WARNING = pytest.mark.filterwarnings(
    "ignore::finetune_guard.ShortLivedModelWarning", "ignore::finetune_guard.ModelSunsetWarning"
)


@NO_OTHER_WARNING
@pytest.mark.parametrize("now", [FIRST_MOMENT, LAST_MOMENT])
async def test_job_on_the_boundary_day_is_sent_with_a_warning(flavour, client, infer, clock, now, posts):
    clock.set(now)
    await infer(client)

    async def create_here():
        creation = client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
        return await creation if flavour.is_async else creation

    with (
        pytest.warns(PolicyBoundaryWarning, match="API decides") as caught,
        pytest.raises((openai.BadRequestError, openai.PermissionDeniedError)),
    ):
        await create_here()
    assert [__file__] == [warning.filename for warning in caught if warning.category is PolicyBoundaryWarning]
    assert 1 == posts("/fine_tuning/jobs")


@NO_OTHER_WARNING
async def test_upload_on_the_boundary_day_is_sent_without_a_warning(client, infer, clock, caplog):
    clock.set(FIRST_MOMENT)
    await infer(client)
    caplog.set_level(logging.WARNING)
    await done(client.files.create(purpose="fine-tune", file=("a.jsonl", TRAINING_DATA)))
    assert [] == caplog.records
