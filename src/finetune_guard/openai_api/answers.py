"""What the API's answers tell about batches that a program asked for.

A body is looked at after the SDK has read it, and read so that no answer can do harm. No I/O and no
clock here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.openai_api.listing import moment, records

_MOST_REQUESTS = 10**9
_LONGEST_ID = 128
_MOST_BATCHES = 1_000
"""Ten times what the API puts into one page: reading more would hold the program up."""


@dataclass(frozen=True)
class CompletedBatch:
    """A batch that ran a fine-tuned model to its end.

    Attributes:
        id: Its id.
        model: The fine-tuned model.
        at: When it was completed, in UTC.
        requests: How many of its requests were answered; one where the API doesn't say.
    """

    id: str
    model: str
    at: datetime
    requests: int


def completed_batches(body: object, now: datetime) -> Iterator[CompletedBatch]:
    """Return the completed batches of fine-tuned models in a batch or a list of them.

    One whose requests have all failed was no inference, and neither was one that isn't completed.
    """
    for row in islice(records(body), _MOST_BATCHES):
        batch_id, model, at = row.get("id"), row.get("model"), moment(row.get("completed_at"), now)
        if row.get("status") != "completed" or at is None or FineTunedModel.parse(model) is None:
            continue
        answered = _answered(row.get("request_counts"))
        if answered and isinstance(batch_id, str) and len(batch_id) <= _LONGEST_ID:
            yield CompletedBatch(batch_id, str(model), at, answered)


def _answered(counts: object) -> int:
    if not isinstance(counts, Mapping):
        return 1
    completed = counts.get("completed")
    if isinstance(completed, bool) or not isinstance(completed, int):
        return 1
    return max(0, min(completed, _MOST_REQUESTS))
