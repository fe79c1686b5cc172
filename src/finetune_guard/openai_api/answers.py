"""Inferences that ran elsewhere or earlier, as the API's batches and stored responses tell of them.

A body is looked at after the SDK has read it, and read so that no answer can do harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from finetune_guard.domain.facts import Source
from finetune_guard.domain.text import is_name
from finetune_guard.openai_api.completions import completing_model, fields_of, fine_tuned_id
from finetune_guard.openai_api.listing import moment, records

_MOST_REQUESTS = 10**9
_LONGEST_ID = 128
_MOST_BATCHES = 1_000
"""Ten times what the API puts into one page: reading more would hold the program up."""
_LONGEST_RUN = timedelta(days=1)
"""What a batch has at most, and the most that ``Inference.within`` can say."""
_BATCH_ENDS = ("finalizing_at", "completed_at", "cancelling_at", "cancelled_at", "expired_at", "failed_at")


@dataclass(frozen=True)
class PastRun:
    """One or several inferences on a fine-tuned model that a record of the API tells of.

    They ran at ``at`` or up to ``within`` later. There was one ``request`` where the API doesn't say.
    """

    id: str
    model: str
    at: datetime
    within: timedelta
    requests: int
    source: Source


def batch_runs(body: object, now: datetime) -> Iterator[PastRun]:
    """Return what ran in a batch, or in each batch of a list.

    Whatever became of the batch later: the requests that were answered were inferences. They ran between
    its start and its end, and nobody can say when in between.
    """
    for row in islice(records(body), _MOST_BATCHES):
        batch_id, model = row.get("id"), fine_tuned_id(row.get("model"))
        requests = _answered(row.get("request_counts"), row.get("status"))
        span = _span(row, now)
        if model is not None and requests and span is not None and is_name(batch_id, _LONGEST_ID):
            yield PastRun(batch_id, model, *span, requests, Source.BATCH)


def stored_run(body: object, now: datetime) -> PastRun | None:
    """Return the inference that a stored response was, such as one that ran in the background.

    None unless it has ended with an output and says when that was.
    """
    fields = fields_of(body) or {}
    response_id, model = fields.get("id"), completing_model(fields, None)
    at = moment(fields.get("completed_at"), now) or moment(fields.get("created_at"), now)
    if model is None or at is None or not is_name(response_id, _LONGEST_ID):
        return None
    return PastRun(response_id, model, at, timedelta(0), 1, Source.OBSERVED)


def _span(row: Mapping[str, Any], now: datetime) -> tuple[datetime, timedelta] | None:
    """When a batch ran, as the earliest moment and how much later it may have been."""
    ends = (at for name in _BATCH_ENDS if (at := moment(row.get(name), now)) is not None)
    end = next(ends, None)
    start = moment(row.get("in_progress_at"), now) or moment(row.get("created_at"), now)
    if start is None:
        return None if end is None else (end - _LONGEST_RUN, _LONGEST_RUN)
    return start, max(timedelta(0), min((end or now) - start, _LONGEST_RUN))


def _answered(counts: object, status: object) -> int:
    completed = counts.get("completed") if isinstance(counts, Mapping) else None
    if isinstance(completed, bool) or not isinstance(completed, int):
        return 1 if status == "completed" else 0
    return max(0, min(completed, _MOST_REQUESTS))
