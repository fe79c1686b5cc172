"""What batches and stored responses that a program asked for tell."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_guard import Source
from finetune_guard.openai_api.completions import PastRun, batch_runs, stored_run
from tests.support.constants import BASE, DAY, HOUR, NOW
from tests.support.constants import FINE_TUNED as MODEL

SECOND = int(NOW.timestamp())
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "status": "completed",
    "model": MODEL,
    "created_at": SECOND - 4 * 3600,
    "in_progress_at": SECOND - 3 * 3600,
    "finalizing_at": SECOND - 3600,
    "completed_at": SECOND - 60,
    "request_counts": {"total": 3, "completed": 2, "failed": 1},
}
RAN = PastRun("batch_1", MODEL, NOW - 3 * HOUR, 2 * HOUR, 2, Source.BATCH)
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": MODEL, "output": [{}]}
RESPONSE["created_at"] = SECOND - 3600


def test_batch_counts_between_its_start_and_its_end():
    assert [RAN] == list(batch_runs(BATCH, NOW))
    listed = {"object": "list", "data": [{**BATCH, "request_counts": {"completed": 0}}, BATCH, "nonsense"]}
    assert [RAN] == list(batch_runs(listed, NOW))


ABSENT = {"in_progress_at": None, "finalizing_at": None, "completed_at": None, "created_at": None}


@pytest.mark.parametrize(
    ("change", "at", "within"),
    [
        ({"status": "cancelled"}, NOW - 3 * HOUR, 2 * HOUR),
        ({"status": "expired", "finalizing_at": None}, NOW - 3 * HOUR, 3 * HOUR - timedelta(minutes=1)),
        ({**ABSENT, "status": "cancelling", "created_at": SECOND - 7200}, NOW - 2 * HOUR, 2 * HOUR),
        ({"in_progress_at": SECOND - 3 * 86400}, NOW - 3 * DAY, DAY),
        ({"in_progress_at": SECOND - 60}, NOW - timedelta(minutes=1), timedelta(0)),
        ({"in_progress_at": None}, NOW - 4 * HOUR, 3 * HOUR),
        ({**ABSENT, "expired_at": SECOND - 60}, NOW - timedelta(minutes=1) - DAY, DAY),
    ],
)
def test_unfinished_batch_counts_its_answered_requests(change, at, within):
    """A batch that was cancelled, has expired or partly failed counts, for a day at most."""
    assert [(at, within)] == [(run.at, run.within) for run in batch_runs({**BATCH, **change}, NOW)]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "in_progress", "request_counts": None},
        {"status": None, "request_counts": {"completed": "many"}},
        {"model": BASE},
        ABSENT,
        {**ABSENT, "completed_at": True},
        {**ABSENT, "completed_at": 10**30},
        {**ABSENT, "completed_at": SECOND + 2 * 86400},
        {"id": None},
        {"id": "b" * 200},
    ],
)
def test_batch_without_answers_or_a_valid_time_is_no_inference(change):
    assert [] == list(batch_runs({**BATCH, **change}, NOW))


@pytest.mark.parametrize("counts", [None, {}, {"completed": "many"}, {"completed": True}])
def test_a_completed_batch_without_counts_is_one_inference(counts):
    assert [1] == [run.requests for run in batch_runs({**BATCH, "request_counts": counts}, NOW)]


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({}, NOW - HOUR),
        ({"completed_at": SECOND - 60}, NOW - timedelta(minutes=1)),
        ({"status": "incomplete"}, NOW - HOUR),
        ({"status": "in_progress"}, None),
        ({"status": "failed", "output": []}, None),
        ({"model": BASE}, None),
        ({"created_at": None}, None),
        ({"id": None}, None),
    ],
)
def test_stored_response_counts_from_when_the_api_says_it_ran(change, at):
    run = stored_run({**RESPONSE, **change}, NOW)
    expected = PastRun("resp_1", MODEL, at, timedelta(0), 1, Source.OBSERVED) if at else None
    assert expected == run
