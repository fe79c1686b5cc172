"""The API's refusal of a job: a typed error, remembered until there is newer evidence."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard import EligibilityWarning, FineTuneGuardError, FineTuningRefusedError, Verdict
from finetune_guard.simulator import Fault
from tests.client.flavours import create_job, done, listed
from tests.support.constants import TRAINING_DATA

pytestmark = pytest.mark.anyio

JOBS = "/fine_tuning/jobs"
DETAILS = {
    "message": "OpenAI is winding down the fine-tuning platform.",
    "type": "invalid_request_error",
    "param": None,
    "code": "training_not_available",
}
BODIES = {"error inside": {"error": DETAILS}, "bare": DETAILS}


async def refused_job(client):
    with pytest.raises(FineTuningRefusedError) as caught:
        await create_job(client)
    return caught.value


@pytest.fixture
async def open_window(client, infer, clock):
    """A client whose organization's window is open by its history."""
    await infer(client)
    clock.advance(timedelta(hours=1))
    return client


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_refusal_is_the_sdks_permission_error(open_window, bare, sim, body):
    for _ in range(2):
        sim.fault(Fault(path=f"/v1{JOBS}", status=403, body=body, headers={"x-request-id": "req_1"}))
    with pytest.raises(openai.PermissionDeniedError) as expected:
        await create_job(bare)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await create_job(open_window)

    ours, theirs = caught.value, expected.value
    assert isinstance(ours, FineTuningRefusedError)
    for name in ("body", "code", "type", "param", "status_code", "request_id"):
        assert getattr(theirs, name) == getattr(ours, name), name
    assert theirs.response.json() == ours.response.json()
    assert "training_not_available" == ours.code
    assert "req_1" == ours.request_id
    assert type(theirs) is type(ours.__cause__)
    assert (Verdict.INELIGIBLE, "refused") == (ours.eligibility.verdict, ours.eligibility.reason.value)
    assert not ours.remembered


async def test_remembered_refusal_stops_the_next_job_without_a_request(open_window, sim, posts):
    sim.fault(Fault.training_not_available())
    first = await refused_job(open_window)
    text = str(first)
    assert "the API itself refused a job of organization acme-28gund on 2026-08-01 01:00 UTC" in text
    assert '403 training_not_available: "OpenAI is winding down' in text
    assert "keep_alive(force=True)" in text
    assert sim.organization().api_key not in text
    with pytest.raises(FineTuningRefusedError, match=r"^The training file was not uploaded"):
        await done(open_window.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune"))
    second = await refused_job(open_window)
    assert 1 == posts(JOBS)
    assert (True, False) == (first.sent, second.sent)
    assert second.remembered
    for name in ("code", "type", "param", "status_code"):
        assert getattr(first, name) == getattr(second, name), name
    assert first.response.json() == second.response.json()
    assert "authorization" not in second.response.request.headers
    assert str(second.response.request.url).endswith(JOBS)


@pytest.mark.parametrize("later", ["an inference", "a keep-alive"])
async def test_newer_evidence_asks_the_api_again(open_window, infer, clock, sim, posts, later):
    """A forced keep-alive counts as later in the same second."""
    sim.fault(Fault.training_not_available())
    await refused_job(open_window)
    if later == "a keep-alive":  # dates have whole seconds, but the order is known
        assert (await done(open_window.guard.keep_alive(force=True))).sent
    else:
        clock.advance(timedelta(seconds=1))
        await infer(open_window)
    with pytest.raises(openai.BadRequestError):
        await create_job(open_window)
    assert 2 == posts(JOBS)


async def test_no_keep_alive_after_a_refusal(connect, infer, sim, posts, clock):
    client = connect(config={"keep_alive": {"renew_within": "59d"}})
    await infer(client)
    clock.advance(timedelta(hours=1))
    sim.fault(Fault.training_not_available())
    await refused_job(client)
    clock.advance(timedelta(hours=23))
    await refused_job(client)
    assert (1, 1) == (posts("/chat/completions"), posts(JOBS))


@pytest.mark.parametrize(
    ("config", "later"), [({}, timedelta(days=1)), ({"refusal_ttl": "2h"}, timedelta(hours=2))]
)
async def test_refusal_expires_after_a_day_or_its_ttl(connect, infer, sim, posts, clock, config, later):
    client = connect(config=config)
    await infer(client)
    clock.advance(timedelta(hours=1))
    sim.fault(Fault.training_not_available())
    await refused_job(client)
    clock.advance(later - timedelta(seconds=1))
    assert (await refused_job(client)).remembered
    clock.advance(timedelta(seconds=1))
    eligibility = await done(client.guard.check())
    assert ("unknown", "refusal_in_doubt") == (eligibility.verdict.value, eligibility.reason.value)
    sim.fault(Fault.training_not_available())
    with pytest.warns(EligibilityWarning, match="may answer otherwise now"):
        assert (await refused_job(client)).sent
    assert (await refused_job(client)).remembered
    clock.advance(later)
    with pytest.warns(EligibilityWarning), pytest.raises(openai.BadRequestError):
        await create_job(client)
    assert 3 == posts(JOBS)


async def test_refusal_in_the_second_of_an_inference_is_asked_again(client, infer, sim, posts):
    await infer(client)
    sim.fault(Fault.training_not_available())
    await refused_job(client)
    with pytest.warns(EligibilityWarning), pytest.raises(openai.BadRequestError):
        await create_job(client)
    assert 2 == posts(JOBS)


NOT_THE_POLICY = {
    "another 403": Fault(path=f"/v1{JOBS}", status=403, code="unsupported_country_region_territory"),
    "the code with another status": Fault(path=f"/v1{JOBS}", status=400, code="training_not_available"),
}


@pytest.mark.parametrize("fault", NOT_THE_POLICY.values(), ids=NOT_THE_POLICY)
async def test_other_errors_are_no_refusal(open_window, sim, fault):
    sim.fault(fault)
    sim.fault(Fault.training_not_available(path=f"/v1{JOBS}", method="GET"))
    with pytest.raises(openai.APIStatusError) as caught:
        await create_job(open_window)
    assert not isinstance(caught.value, FineTuneGuardError)
    with pytest.raises(openai.PermissionDeniedError):
        await done(open_window.fine_tuning.jobs.list())
    assert "eligible" == (await done(open_window.guard.check())).verdict.value


@pytest.mark.parametrize("creator", ["the client itself", "another"])
async def test_created_job_removes_the_refusal(open_window, bare, sim, clock, creator):
    sim.fault(Fault(path=f"/v1{JOBS}", status=403, body={"error": DETAILS}))
    await refused_job(open_window)
    clock.advance(timedelta(days=1 if creator == "the client itself" else 0, hours=2))
    file = sim.add_file(content=TRAINING_DATA)
    if creator == "the client itself":
        with pytest.warns(EligibilityWarning):
            await create_job(open_window, training_file=file)
    else:
        await create_job(bare, training_file=file)
        assert (await refused_job(open_window)).remembered
        await listed(open_window.fine_tuning.jobs.list())
    assert Verdict.ELIGIBLE is (await done(open_window.guard.check())).verdict
