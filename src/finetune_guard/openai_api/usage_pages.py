"""The pages of ``GET /organization/usage/completions``: what is asked, and what an answer tells.

What was read without a gap proves that there were no other inferences. So a page that isn't as
documented is refused as a whole: what can't be read must not pass for nothing.

No I/O and no clock here. https://platform.openai.com/docs/api-reference/usage/completions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

from finetune_guard.domain.errors import UnreadableUsageError
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.str_enum import StrEnum
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply
from finetune_guard.openai_api.listing import is_cursor

_PATH = "/organization/usage/completions"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMEOUT = timedelta(seconds=60)
_MOST_REQUESTS = 10**12
_LONGEST_PROJECT_ID = 128


class Precision(StrEnum):
    """How exactly the time of the latest inference is known."""

    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"

    @property
    def length(self) -> timedelta:
        """How long a bucket of that size is."""
        return timedelta(**{f"{self.value}s": 1})


@dataclass(frozen=True)
class UsagePart:
    """What one page of daily buckets told about fine-tuned models.

    Attributes:
        start: From when on it tells of every inference, in UTC.
        end: Until when it does, exclusive; never later than the end that was asked for.
        latest: For each fine-tuned model, the start of its latest bucket with requests.
        counts: How many requests of fine-tuned models each day (UTC) had; only days with some.
        projects: The ids of the projects that made them.
    """

    start: datetime
    end: datetime
    latest: Mapping[str, datetime]
    counts: Mapping[date, int]
    projects: frozenset[str]


class Buckets(NamedTuple):
    """Buckets of one size: how the API calls it, how many to ask for, grouped by what."""

    precision: Precision
    width: str
    limit: int
    group_by: tuple[str, ...] = ("model",)

    @property
    def length(self) -> timedelta:
        """How long a bucket is."""
        return self.precision.length


DAYS = Buckets(Precision.DAY, "1d", 31, ("model", "project_id"))
HOURS = Buckets(Precision.HOUR, "1h", 24)
MINUTES = Buckets(Precision.MINUTE, "1m", 60)


@dataclass(frozen=True)
class Range:
    """A time that is asked for in buckets of one size; it starts where a bucket does."""

    buckets: Buckets
    start: datetime
    end: datetime

    def ask(self, key: str, cursor: str | None) -> Flow[Reply]:
        """Ask for the page that ``cursor`` stands for; for the first one without."""
        query: dict[str, object] = {
            "start_time": int(self.start.timestamp()),
            "end_time": int(self.end.timestamp()),
            "bucket_width": self.buckets.width,
            "group_by": list(self.buckets.group_by),
            "limit": self.buckets.limit,
        }
        if cursor is not None:
            query["page"] = cursor
        reply = yield ApiCall("get", _PATH, query=query, timeout=_TIMEOUT, key=key)
        assert reply is not None
        return reply

    def read(self, reply: Reply, since: datetime, organization: str | None) -> tuple[UsagePart, str | None]:
        """Return what a page tells from ``since`` on, and the cursor of the next; None after the last."""
        body = reply.body
        if not isinstance(body, Mapping) or not isinstance(body.get("data"), list):
            raise unreadable("it is no list of buckets")
        if None not in (organization, reply.organization) and organization != reply.organization:
            raise unreadable("its pages are of different organizations")
        cursor, until = _cursor(body), since
        latest: dict[str, datetime] = {}
        counts: dict[date, int] = {}
        projects: set[str] = set()
        fine_tunes: dict[str, bool] = {}
        for bucket in body["data"]:
            start, end, rows = self._bucket(bucket, until)
            for model, count, project in _requests(rows, fine_tunes):
                latest[model] = start
                counts[start.date()] = counts.get(start.date(), 0) + count
                if isinstance(project, str) and project.isprintable() and len(project) <= _LONGEST_PROJECT_ID:
                    projects.add(project)
            until = min(end, self.end)
        until = until if cursor is not None else self.end
        return UsagePart(since, until, latest, counts, frozenset(projects - {""})), cursor

    def _bucket(self, bucket: Any, since: datetime) -> tuple[datetime, datetime, list[Any]]:
        """Return start, end and rows of a bucket that begins at ``since`` or later."""
        if not isinstance(bucket, Mapping) or not isinstance(bucket.get("results"), list):
            raise unreadable("a bucket has no list of results")
        start, end = _moment(bucket.get("start_time")), _moment(bucket.get("end_time"))
        length = self.buckets.length
        if (start - self.start) % length or not timedelta(0) < end - start <= length:
            raise unreadable("a bucket is not of the size that was asked for")
        if not since <= start < self.end:
            raise unreadable("a bucket is out of order or was not asked for")
        return start, end, bucket["results"]


def _requests(rows: list[Any], fine_tunes: dict[str, bool]) -> Iterator[tuple[str, int, object]]:
    """Yield model, number and project of the requests of fine-tuned models.

    Rows of other models, and those without requests, mean nothing here. One that could hide requests of
    a fine-tuned model makes the page unreadable. ``fine_tunes`` remembers which models are some.
    """
    for row in rows:
        if not isinstance(row, Mapping):
            raise unreadable("a result is no object")
        model, count = row.get("model"), row.get("num_model_requests")
        if isinstance(model, str):
            if model not in fine_tunes:
                fine_tunes[model] = FineTunedModel.parse(model) is not None
            if not fine_tunes[model]:
                continue
        if type(count) is not int or not 0 <= count <= _MOST_REQUESTS:
            raise unreadable("a result has no number of requests")
        if count == 0:
            continue
        if not isinstance(model, str):
            raise unreadable("requests are not told apart by model")
        yield model, count, row.get("project_id")


def _cursor(body: Mapping[str, Any]) -> str | None:
    more, cursor = body.get("has_more"), body.get("next_page")
    if more is False:
        return None
    if more is not True or not is_cursor(cursor):
        raise unreadable("it doesn't say whether and where it goes on")
    return str(cursor)


def _moment(second: object) -> datetime:
    if type(second) is int:
        with suppress(OverflowError):
            return _EPOCH + timedelta(seconds=second)
    raise unreadable("a bucket has no time")


def unreadable(why: str) -> UnreadableUsageError:
    """Return the error that says why an answer is not what is documented."""
    return UnreadableUsageError(f"The API's answer is not a page of usage as it is documented: {why}.")
