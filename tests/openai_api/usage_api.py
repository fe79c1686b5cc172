"""A Usage API over a list of inferences, as the documentation describes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from finetune_guard.domain.organizations import Subject
from finetune_guard.openai_api.flow import ApiCall, Reply
from tests.openai_api.flow_scripts import CREDENTIALS, NOW

LENGTHS = {"1d": timedelta(days=1), "1h": timedelta(hours=1), "1m": timedelta(minutes=1)}
LIMITS = {"1d": 31, "1h": 168, "1m": 1440}


def named(body: Any, organization: str | None = "acme-28gund", at: datetime = NOW) -> Reply:
    """A reply in which the organization is named."""
    return Reply(body, Subject(organization, CREDENTIALS), at)


def row(model: Any, count: Any = 1, project: Any = "proj_a") -> dict[str, Any]:
    """A result as the API gives it, with what else it tells."""
    return {
        "object": "organization.usage.completions.result",
        "model": model,
        "num_model_requests": count,
        "project_id": project,
        "input_tokens": 8,
        "output_tokens": 1,
        "batch": None,
    }


def bucket(start: datetime, *rows: Any, length: timedelta = LENGTHS["1d"]) -> dict[str, Any]:
    """A bucket of time with its results."""
    return {
        "object": "bucket",
        "start_time": int(start.timestamp()),
        "end_time": int((start + length).timestamp()),
        "results": list(rows),
    }


def page(*buckets: Any, following: str | None = None) -> dict[str, Any]:
    """A page of buckets, and the cursor of the next."""
    return {
        "object": "page",
        "data": list(buckets),
        "has_more": following is not None,
        "next_page": following,
    }


@dataclass
class UsageApi:
    """Answers usage calls; what isn't published can be had either way."""

    inferences: list[tuple[str, str, datetime]]  # model, project and time of each
    page_size: int = 31  # how many buckets it gives at once, whatever it is asked for
    keeps_empty: bool = True  # whether buckets without results are given
    cuts_last: bool = False  # whether the last bucket ends where the range does
    now: datetime = NOW  # the API's time: up to then usage is told where no end is asked for
    calls: list[ApiCall] = field(default_factory=list)

    def __call__(self, call: ApiCall) -> Reply:
        self.calls.append(call)
        query: Any = call.query
        end = datetime.fromtimestamp(query["end_time"], timezone.utc) if "end_time" in query else self.now
        at = datetime.fromtimestamp(query["start_time"], timezone.utc)
        length = LENGTHS[query["bucket_width"]]
        buckets = []
        while at < end:
            rows = self._rows(at, min(at + length, end), query["group_by"])
            if rows or self.keeps_empty:
                last = min(at + length, end) if self.cuts_last else at + length
                buckets.append(bucket(at, *rows, length=last - at))
            at += length
        size = min(self.page_size, query["limit"]) if query["bucket_width"] == "1d" else query["limit"]
        assert 0 < size <= LIMITS[query["bucket_width"]]
        first = int(query.get("page", "page_0").removeprefix("page_"))
        more = first + size < len(buckets)
        following = f"page_{first + size}" if more else None
        return named(page(*buckets[first : first + size], following=following), at=self.now)

    def _rows(self, start: datetime, end: datetime, group_by: list[str]) -> list[Any]:
        """Results of one bucket, those of a project in two rows as batches may be."""
        by_project = "project_id" in group_by
        requests = Counter(
            (model, project if by_project else None)
            for model, project, at in self.inferences
            if start <= at < end
        )
        rows = []
        for (model, project), count in requests.items():
            rows += [row(model, count - 1, project), row(model, 1, project), row("gpt-4o", 7, project)]
        return rows
