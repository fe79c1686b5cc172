"""What batches, jobs and models that a program asked for tell."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.openai_api.answers import (
    CompletedBatch,
    Traces,
    completed_batches,
    moment,
    traces_in_jobs,
    traces_in_models,
)

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
SECOND = int(NOW.timestamp())
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "status": "completed",
    "model": MODEL,
    "completed_at": SECOND - 60,
    "request_counts": {"total": 3, "completed": 2, "failed": 1},
}
COMPLETED = CompletedBatch("batch_1", MODEL, NOW - timedelta(minutes=1), 2)
JOB = {
    "id": "ftjob-1",
    "object": "fine_tuning.job",
    "created_at": SECOND - 3600,
    "organization_id": "org-AbC123",
}

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(MODEL),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
fields = (
    "data",
    "id",
    "object",
    "status",
    "model",
    "completed_at",
    "request_counts",
    "created",
    "created_at",
)
bodies = json | st.dictionaries(st.sampled_from(fields), json)


def test_a_completed_batch_is_an_inference_when_it_ended():
    """A batch of a fine-tuned model counts from its end, alone or in a list."""
    assert [COMPLETED] == list(completed_batches(BATCH, NOW))
    listed = {"object": "list", "data": [{**BATCH, "status": "in_progress"}, BATCH, "nonsense"]}
    assert [COMPLETED] == list(completed_batches(listed, NOW))


@pytest.mark.parametrize(
    "change",
    [
        {"status": "failed"},
        {"status": None},
        {"model": None},
        {"model": "gpt-4o-mini-2024-07-18"},
        {"completed_at": None},
        {"completed_at": True},
        {"completed_at": -1},
        {"completed_at": 10**30},
        {"completed_at": SECOND + 2 * 86400},
        {"request_counts": {"completed": 0}},
        {"id": None},
        {"id": "b" * 200},
    ],
)
def test_other_batches_are_no_inference(change):
    """One that isn't completed, of another model, without a sane time, or whose requests all failed."""
    assert [] == list(completed_batches({**BATCH, **change}, NOW))


@pytest.mark.parametrize("counts", [None, {}, {"completed": "many"}, {"completed": True}])
def test_a_batch_without_counts_is_one_inference(counts):
    """Where the API doesn't say how many requests were answered, at least one was."""
    assert [1] == [batch.requests for batch in completed_batches({**BATCH, "request_counts": counts}, NOW)]


def test_jobs_prove_fine_tuning_and_name_their_organization():
    """The earliest job that is shown counts, and its body has the organization's id."""
    listed = {"object": "list", "data": [JOB, {**JOB, "created_at": SECOND - 7200, "organization_id": 7}]}
    expected = Traces(NOW - timedelta(hours=2), NOW - timedelta(hours=1), frozenset({"org-AbC123"}))
    assert expected == traces_in_jobs(listed, NOW)
    an_hour_ago = NOW - timedelta(hours=1)
    alone = Traces(an_hour_ago, an_hour_ago, frozenset({"org-AbC123"}))
    assert alone == traces_in_jobs(JOB, NOW)
    assert expected == alone.joined(expected) == expected.joined(alone) == expected.joined(Traces())


def test_what_is_no_job_proves_nothing():
    """An empty list, an event or an error's body tells of no fine-tuning."""
    assert Traces() == traces_in_jobs({"object": "list", "data": []}, NOW)
    assert Traces() == traces_in_jobs({**JOB, "object": "fine_tuning.job.event"}, NOW)
    assert Traces() == traces_in_jobs({"error": {"code": "x"}}, NOW)


def test_a_fine_tuned_model_proves_fine_tuning():
    """Base models prove nothing; a fine-tune does from its creation on, or at least from now on."""
    base = {"id": "gpt-4o-mini-2024-07-18", "created": 1}
    listed = {"object": "list", "data": [base, {"id": MODEL, "created": SECOND - 60}]}
    assert Traces(NOW - timedelta(minutes=1)) == traces_in_models(listed, NOW)
    assert Traces(NOW) == traces_in_models({"id": MODEL}, NOW)
    assert Traces(NOW) == traces_in_models({"id": MODEL, "created": SECOND + 60}, NOW)
    assert Traces() == traces_in_models(base, NOW)


@given(bodies)
def test_no_body_does_harm(body):
    """Whatever an API or a gateway answers, it is read or passed over, and no time lies in the future."""
    for batch in completed_batches(body, NOW):
        assert batch.at <= NOW + timedelta(days=1)
        assert 1 <= batch.requests
    for read in (traces_in_jobs, traces_in_models):
        assert (read(body, NOW).fine_tuned_by or NOW) <= NOW


@given(st.integers())
def test_any_number_is_a_moment_or_none(second):
    """Numbers that are no time of this world are passed over."""
    at = moment(second, NOW)
    assert at is None or second == int(at.timestamp())
