"""What batches that a program asked for tell."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.openai_api.answers import CompletedBatch, completed_batches

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


@given(bodies)
def test_no_body_does_harm(body):
    """Whatever an API or a gateway answers, it is read or passed over, and no time lies in the future."""
    for batch in completed_batches(body, NOW):
        assert batch.at <= NOW + timedelta(days=1)
        assert 1 <= batch.requests
