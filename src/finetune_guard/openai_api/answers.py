"""What the API's own records tell: batches, fine-tuning jobs and models that a program asked for.

A body is looked at after the SDK has read it, and read so that no answer can do harm. No I/O and no
clock here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from typing import Any, TypeGuard

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, FineTunedModel
from finetune_guard.domain.organizations import organization_id
from finetune_guard.domain.shutdowns import Announced, latest_announced
from finetune_guard.openai_api.pages import is_list, rows

_MOST_REQUESTS = 10**9
_LONGEST_ID = 128
_MOST_BATCHES = 1_000
"""Ten times what the API puts into one page: reading more would hold the program up."""
_CLOCK_SKEW = timedelta(days=1)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


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


@dataclass(frozen=True)
class Traces:
    """What jobs or models tell of earlier fine-tuning.

    Attributes:
        fine_tuned_by: The earliest moment by which fine-tuning had certainly happened; None without one.
        job_created_at: When the latest of the jobs was created; None without one.
        organizations: The ``org-`` ids that the records belong to.
    """

    fine_tuned_by: datetime | None = None
    job_created_at: datetime | None = None
    organizations: frozenset[str] = frozenset()

    def joined(self, other: Traces) -> Traces:
        """Return what both tell together."""
        begun = (moment for moment in (self.fine_tuned_by, other.fine_tuned_by) if moment is not None)
        created = (moment for moment in (self.job_created_at, other.job_created_at) if moment is not None)
        return Traces(
            min(begun, default=None), max(created, default=None), self.organizations | other.organizations
        )


def completed_batches(body: object, now: datetime) -> Iterator[CompletedBatch]:
    """Return the completed batches of fine-tuned models in a batch or a list of them.

    One whose requests have all failed was no inference, and neither was one that isn't completed.
    """
    for row in islice(_records(body), _MOST_BATCHES):
        batch_id, model, at = row.get("id"), row.get("model"), moment(row.get("completed_at"), now)
        if row.get("status") != "completed" or at is None or FineTunedModel.parse(model) is None:
            continue
        answered = _answered(row.get("request_counts"))
        if answered and isinstance(batch_id, str) and len(batch_id) <= _LONGEST_ID:
            yield CompletedBatch(batch_id, str(model), at, answered)


def traces_in_jobs(body: object, now: datetime) -> Traces:
    """Return what a fine-tuning job, or a list of them, proves: each was fine-tuning when it was created."""
    jobs = [row for row in _records(body) if row.get("object") == "fine_tuning.job"]
    ids = (organization_id(row.get("organization_id")) for row in jobs)
    times = filter(None, (moment(row.get("created_at"), now) for row in jobs))
    return Traces(_earliest(jobs, "created_at", now), max(times, default=None), frozenset(filter(None, ids)))


def traces_in_models(body: object, now: datetime) -> Traces:
    """Return what a model, or a list of them, proves: a fine-tuned one was made when it was created."""
    tuned = [row for row in _records(body) if FineTunedModel.parse(row.get("id")) is not None]
    return Traces(_earliest(tuned, "created", now))


def moment(second: object, now: datetime) -> datetime | None:
    """Return a time in Unix seconds; None when it is none, or lies more than a day after ``now``."""
    if isinstance(second, bool) or not isinstance(second, int):
        return None
    try:
        at = datetime.fromtimestamp(second, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None
    return at if second > 0 and at - now <= _CLOCK_SKEW else None


def _records(body: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a list, or the one object that the body is."""
    return rows(body if is_list(body) else {"data": [body]})


def _answered(counts: object) -> int:
    if not isinstance(counts, Mapping):
        return 1
    completed = counts.get("completed")
    if isinstance(completed, bool) or not isinstance(completed, int):
        return 1
    return max(0, min(completed, _MOST_REQUESTS))


def _earliest(records: list[Mapping[str, Any]], field: str, now: datetime) -> datetime | None:
    """The earliest time that the records give; ``now`` when there are some and none gives one."""
    times = [at for row in records if (at := moment(row.get(field), now)) is not None]
    return min(min(times, default=now), now) if records else None


def announcements(body: object, seen_at: datetime) -> dict[str, Announced]:
    """Return what the body of ``GET /models``, or one model's object, says about shutdown dates.

    A model without the field, as well as anything malformed, is passed over.

    Args:
        body: The JSON body, whatever it is.
        seen_at: When the API answered; an aware datetime.
    """
    found: dict[str, Announced] = {}
    for row in rows(body if is_list(body) else {"data": [body]}):
        model_id = row.get("id")
        if "shutdown_date" in row and _is_sane(model_id):
            stated = row["shutdown_date"]
            day = _day(stated)
            if day is not None or stated is None:
                found[model_id] = latest_announced(found.get(model_id), Announced(day=day, seen_at=seen_at))
    return found


def _is_sane(model_id: object) -> TypeGuard[str]:
    return isinstance(model_id, str) and 0 < len(model_id) <= MAX_MODEL_ID_LENGTH and model_id.isprintable()


def _day(stated: object) -> date | None:
    if not isinstance(stated, str) or not _DAY.fullmatch(stated):
        return None
    try:
        return date.fromisoformat(stated)
    except ValueError:  # such as February 30
        return None
