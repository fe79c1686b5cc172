"""Asking the API which fine-tuned models the whole organization has run, and when last.

``GET /organization/usage/completions`` adds up requests in buckets of time, for who has an admin key.
A bucket tells that a model was run between its start and its end, so it counts from its start. Daily
buckets are read first; then the last active day by the hour and the last active hour by the minute.

What was read without a gap proves that there were no other inferences. So a page that isn't as
documented is refused as a whole: what can't be read must not pass for nothing.

No I/O and no clock here. https://platform.openai.com/docs/api-reference/usage/completions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import openai

from finetune_guard.errors import UnreadableUsageError
from finetune_guard.flows import ApiCall, Flow, Reply
from finetune_guard.history import Evidence, History, Inference, Source
from finetune_guard.models import FineTunedModel
from finetune_guard.policy import aware_utc
from finetune_guard.words import Word

_PATH = "/organization/usage/completions"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMEOUT = timedelta(seconds=60)
_MOST_REQUESTS = 10**12
_LONGEST_PROJECT_ID = 128


class Precision(Word):
    """How exactly the time of the latest inference is known."""

    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"


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


@dataclass(frozen=True)
class UsageRead:
    """What came of reading the organization's usage.

    Attributes:
        start: The start of the range that was asked for, in UTC.
        end: Its end, exclusive.
        covered_until: Up to when the usage was read without a gap from the start on.
        organization: The organization's slug; None when no answer named it.
        latest: The latest inference: its model, and the start of the smallest bucket known to hold it.
        precision: How long that bucket is; None when there was no inference.
        models: How many fine-tuned models were run.
        projects: The ids of the projects that ran them.
        pages: How many pages of daily buckets were read.
        failure: Why reading stopped early; None when it didn't.
    """

    start: datetime
    end: datetime
    covered_until: datetime
    organization: str | None
    latest: tuple[str, datetime] | None
    precision: Precision | None
    models: int
    projects: frozenset[str]
    pages: int
    failure: openai.APIError | UnreadableUsageError | None = None

    @property
    def complete(self) -> bool:
        """Whether the whole range was read."""
        return self.failure is None


def as_history(part: UsagePart, organization: str) -> History:
    """Return what ``part`` tells as a history of ``organization``."""
    inferences = {
        model: Inference(organization=organization, model=model, at=at, source=Source.USAGE_API)
        for model, at in part.latest.items()
    }
    newest = _newest(part.latest)
    return History(
        evidence=Evidence(
            organization=organization,
            last_inference=inferences[newest[0]] if newest is not None else None,
            fine_tuned_by=min(part.latest.values(), default=None),
        ),
        models=inferences,
        daily={day: {Source.USAGE_API: count} for day, count in part.counts.items()},
    )


def read_usage(
    start: datetime, end: datetime, *, key: str, learn: Callable[[UsagePart, Reply], None]
) -> Flow[UsageRead]:
    """Read which fine-tuned models the organization has run from ``start`` to ``end``.

    An error of the API, or a page that isn't as documented, ends the reading and is not raised. Where
    the range is empty, nothing is asked.

    Args:
        start: Read from the beginning of its day (UTC) on.
        end: Read up to this second, exclusive.
        key: The admin key to ask with.
        learn: Is handed what each page told as it arrives, so that it outlives whatever happens next.
    """
    first_day = aware_utc(start).replace(hour=0, minute=0, second=0, microsecond=0)
    days = _Range(_DAYS, first_day, aware_utc(end).replace(microsecond=0))
    parts: list[UsagePart] = []
    covered_until = days.start
    organization: str | None = None
    cursor: str | None = None
    cursors: set[str | None] = set()
    failure: openai.APIError | UnreadableUsageError | None = None
    more = days.start < days.end
    while more:
        try:
            reply = yield from days.ask(key, cursor)
            part, cursor = days.read(reply, covered_until, organization)
            if cursor in cursors or len(parts) > (days.end - days.start) // _DAYS.length + 1:
                raise _unreadable("its pages have no end")
        except (openai.APIError, UnreadableUsageError) as error:
            failure = error
            break
        parts.append(part)
        cursors.add(cursor)
        covered_until, organization = part.end, organization or reply.organization
        if part.start < part.end:
            learn(part, reply)
        more = cursor is not None
    models = {model: at for part in parts for model, at in part.latest.items()}  # parts ascend
    latest = _newest(models)
    precision = Precision.DAY if latest is not None else None
    if latest is not None and failure is None:
        latest, precision = yield from _refined(latest, days, key, organization)
    return UsageRead(
        start=days.start,
        end=days.end,
        covered_until=covered_until,
        organization=organization,
        latest=latest,
        precision=precision,
        models=len(models),
        projects=frozenset().union(*(part.projects for part in parts)),
        pages=len(parts),
        failure=failure,
    )


def _refined(
    latest: tuple[str, datetime], days: _Range, key: str, organization: str | None
) -> Flow[tuple[tuple[str, datetime], Precision]]:
    """Find the smallest bucket of the latest inference; what can't be read leaves it as it is known."""
    known = days.buckets
    for finer in (_HOURS, _MINUTES):
        at = latest[1]
        asked = _Range(finer, at, at + min(known.length, days.end - at))
        try:
            reply = yield from asked.ask(key, None)
            part, cursor = asked.read(reply, at, organization)
        except (openai.APIError, UnreadableUsageError):
            break
        newest = _newest(part.latest)
        if newest is None or cursor is not None:
            break
        latest, known = newest, finer
    return latest, known.precision


def _newest(latest: Mapping[str, datetime]) -> tuple[str, datetime] | None:
    """Return the model that was run last, and when; of several the one that sorts first."""
    return max(sorted(latest.items()), key=lambda item: item[1], default=None)


class _Buckets(NamedTuple):
    """Buckets of one size: how the API calls it, how long it is, how many to ask for, grouped by what."""

    precision: Precision
    width: str
    length: timedelta
    limit: int
    group_by: tuple[str, ...] = ("model",)


_DAYS = _Buckets(Precision.DAY, "1d", timedelta(days=1), 31, ("model", "project_id"))
_HOURS = _Buckets(Precision.HOUR, "1h", timedelta(hours=1), 24)
_MINUTES = _Buckets(Precision.MINUTE, "1m", timedelta(minutes=1), 60)


@dataclass(frozen=True)
class _Range:
    """A time that is asked for in buckets of one size; it starts where a bucket does."""

    buckets: _Buckets
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
            raise _unreadable("it is no list of buckets")
        if None not in (organization, reply.organization) and organization != reply.organization:
            raise _unreadable("its pages are of different organizations")
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
            raise _unreadable("a bucket has no list of results")
        start, end = _moment(bucket.get("start_time")), _moment(bucket.get("end_time"))
        length = self.buckets.length
        if (start - self.start) % length or not timedelta(0) < end - start <= length:
            raise _unreadable("a bucket is not of the size that was asked for")
        if not since <= start < self.end:
            raise _unreadable("a bucket is out of order or was not asked for")
        return start, end, bucket["results"]


def _requests(rows: list[Any], fine_tunes: dict[str, bool]) -> Iterator[tuple[str, int, object]]:
    """Yield model, number and project of the requests of fine-tuned models.

    Rows of other models, and those without requests, mean nothing here. One that could hide requests of
    a fine-tuned model makes the page unreadable. ``fine_tunes`` remembers which models are some.
    """
    for row in rows:
        if not isinstance(row, Mapping):
            raise _unreadable("a result is no object")
        model, count = row.get("model"), row.get("num_model_requests")
        if isinstance(model, str):
            if model not in fine_tunes:
                fine_tunes[model] = FineTunedModel.parse(model) is not None
            if not fine_tunes[model]:
                continue
        if type(count) is not int or not 0 <= count <= _MOST_REQUESTS:
            raise _unreadable("a result has no number of requests")
        if count == 0:
            continue
        if not isinstance(model, str):
            raise _unreadable("requests are not told apart by model")
        yield model, count, row.get("project_id")


def _cursor(body: Mapping[str, Any]) -> str | None:
    more, cursor = body.get("has_more"), body.get("next_page")
    if more is False:
        return None
    if more is not True or not isinstance(cursor, str) or not cursor or not cursor.isprintable():
        raise _unreadable("it doesn't say whether and where it goes on")
    return cursor


def _moment(second: object) -> datetime:
    if type(second) is int:
        with suppress(OverflowError):
            return _EPOCH + timedelta(seconds=second)
    raise _unreadable("a bucket has no time")


def _unreadable(why: str) -> UnreadableUsageError:
    return UnreadableUsageError(f"The API's answer is not a page of usage as it is documented: {why}.")
