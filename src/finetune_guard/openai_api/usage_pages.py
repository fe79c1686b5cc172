"""Requests and reads pages of ``GET /organization/usage/completions``.

Usage that was read proves that there were no other inferences. So only the time of buckets in a page counts
as read, up to the time of the response. A bucket with a row that may hide requests of a fine-tuned model
proves nothing, and a page that isn't as documented is refused.

https://platform.openai.com/docs/api-reference/usage/completions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

from finetune_guard.domain.errors import UnreadableUsageError, UsageSyncError
from finetune_guard.domain.facts import Inference, ModelRequests, Source, Span, merge_spans
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.text import is_name
from finetune_guard.domain.values import StrEnum
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply
from finetune_guard.openai_api.listing import is_cursor

_PATH = "/organization/usage/completions"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIMEOUT = timedelta(seconds=60)
_MOST_REQUESTS = 10**12
_LONGEST_PROJECT_ID = 128
_MOST_AHEAD = timedelta(days=7)  # how far a bucket may start after the response: our clock may be slow
_LIKE_FINE_TUNED = re.compile(r"(?:^|[:/.])ft[:-]")


class Precision(StrEnum):
    """How exactly the time of the latest inference is known."""

    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"


class Buckets(NamedTuple):
    """Buckets of one size: the API's name for it, the number per page, and the grouping."""

    precision: Precision
    length: timedelta
    width: str
    limit: int
    group_by: tuple[str, ...] = ("model",)


DAYS = Buckets(Precision.DAY, timedelta(days=1), "1d", 31, ("model", "project_id"))
HOURS = Buckets(Precision.HOUR, timedelta(hours=1), "1h", 24)
MINUTES = Buckets(Precision.MINUTE, timedelta(minutes=1), "1m", 60)


@dataclass(frozen=True)
class UsagePage:
    """The usage of fine-tuned models in one page.

    Attributes:
        history: The latest inference of each model, the requests of each day, and in ``usage_read`` the
            spans of time for which the page has every request.
        newest: The latest of those inferences; if several, that of the first model in order.
        requests: The number of calls by day, model and project.
    """

    history: History
    newest: Inference | None
    requests: tuple[ModelRequests, ...]
    end: datetime
    at: datetime
    cursor: str | None

    @property
    def projects(self) -> frozenset[str]:
        """The ids of the projects that ran the models."""
        return frozenset(each.project for each in self.requests if each.project is not None)


@dataclass(frozen=True)
class UsageQuery:
    """A query for the usage of a period, in buckets of one size, with an admin key.

    The first bucket starts at ``start``. Without an ``end``, the period lasts until now.
    """

    buckets: Buckets
    start: datetime
    end: datetime | None
    organization: str
    key: str = field(repr=False)

    def page(self, cursor: str | None, since: datetime) -> Flow[UsagePage]:
        """Request and read the page at ``cursor``, or the first page without one.

        Raises:
            openai.APIError: The API answered with an error.
            UnreadableUsageError: The answer isn't as documented, or shows a time before ``since``.
            UsageSyncError: The response doesn't name the expected organization.
        """
        query: dict[str, object] = {
            "start_time": int(self.start.timestamp()),
            "bucket_width": self.buckets.width,
            "group_by": list(self.buckets.group_by),
            "limit": self.buckets.limit,
            **({"end_time": int(self.end.timestamp())} if self.end is not None else {}),
            **({"page": cursor} if cursor is not None else {}),
        }
        reply = yield ApiCall("get", _PATH, query=query, timeout=_TIMEOUT, key=self.key)
        assert reply is not None
        return self.read(reply, since)

    def read(self, reply: Reply, since: datetime) -> UsagePage:
        """Read a page from its reply; see ``page``."""
        if reply.subject.organization != self.organization:
            raise _wrong_organization(self.organization, reply.subject.organization)
        body = reply.body
        if not isinstance(body, Mapping) or not isinstance(body.get("data"), list):
            raise unreadable("it is no list of buckets")
        at = reply.at.replace(microsecond=0)
        known_until = min(self.end or at, at)
        latest: dict[str, tuple[datetime, datetime]] = {}
        daily: dict[date, dict[Source, int]] = {}
        requests: list[ModelRequests] = []
        spans: list[Span] = []
        until = since
        for bucket in body["data"]:
            start, until, rows = self._bucket(bucket, until, self.end or at + _MOST_AHEAD)
            shows_all, day = start < known_until, start.date()
            counts: dict[tuple[str, str | None], int] = {}  # of this bucket
            for row in rows:
                try:
                    row_requests = _requests_in(row)
                except UnreadableUsageError:
                    shows_all = False
                    continue
                if row_requests is not None:
                    model, count, project = row_requests
                    group = model, project if is_name(project, _LONGEST_PROJECT_ID) else None
                    counts[group] = counts.get(group, 0) + count
            for (model, known_project), count in counts.items():
                latest[model] = start, until
                requests.append(ModelRequests(day, model, known_project, count))
            if counts:
                sources = daily.setdefault(day, {Source.USAGE_API: 0})
                sources[Source.USAGE_API] += sum(counts.values())
            if shows_all:
                spans.append(Span(start=start, end=min(until, known_until)))
        models = {
            model: self._inference(model, start, min(end, known_until) if start < known_until else end)
            for model, (start, end) in latest.items()
        }
        newest = max((models[model] for model in sorted(models)), key=lambda each: each.at, default=None)
        history = History(
            evidence=Evidence(
                organization=self.organization,
                last_inference=newest,
                fine_tuned_by=min((each.at for each in models.values()), default=None),
                usage_read=merge_spans(spans),
            ),
            models=models,
            daily=daily,
        )
        return UsagePage(history, newest, tuple(requests), until, at, _cursor(body))

    def _inference(self, model: str, start: datetime, end: datetime) -> Inference:
        return Inference(
            organization=self.organization, model=model, at=start, source=Source.USAGE_API, within=end - start
        )

    def _bucket(self, bucket: Any, since: datetime, until: datetime) -> tuple[datetime, datetime, list[Any]]:
        """Return start, end and rows of a bucket that starts at ``since`` or later, before ``until``."""
        if not isinstance(bucket, Mapping) or not isinstance(bucket.get("results"), list):
            raise unreadable("a bucket has no list of results")
        start, end = _unix_time(bucket.get("start_time")), _unix_time(bucket.get("end_time"))
        length = self.buckets.length
        if (start - self.start) % length or not timedelta(0) < end - start <= length:
            raise unreadable("a bucket is not of the size that was asked for")
        if not since <= start < until:
            raise unreadable("a bucket is out of order or was not asked for")
        return start, end, bucket["results"]


def _requests_in(row: Any) -> tuple[str, int, object] | None:
    """Return model, count and project of a row about a fine-tuned model; None for other rows.

    Raises:
        UnreadableUsageError: The row may hide requests of a fine-tuned model.
    """
    if not isinstance(row, Mapping):
        raise unreadable("a result is no object")
    model, count = row.get("model"), row.get("num_model_requests")
    is_fine_tuned = _is_fine_tuned(model) if isinstance(model, str) else None
    if is_fine_tuned is False:
        return None
    if type(count) is not int or not 0 <= count <= _MOST_REQUESTS:
        raise unreadable("a result has no number of requests")
    if count == 0:
        return None
    if is_fine_tuned is None:
        raise unreadable("requests are not told apart by model")
    return str(model), count, row.get("project_id")


@lru_cache(maxsize=10_000)
def _is_fine_tuned(model: str) -> bool | None:
    """Whether ``model`` is fine-tuned; None for an id that looks like it but can't be parsed."""
    if FineTunedModel.parse(model) is not None:
        return True
    return None if not model.strip() or _LIKE_FINE_TUNED.search(model) else False


def _cursor(body: Mapping[str, Any]) -> str | None:
    cursor = body.get("next_page")
    return cursor if body.get("has_more") is not False and is_cursor(cursor) else None


def _unix_time(second: object) -> datetime:
    if type(second) is int:
        with suppress(OverflowError):
            return _EPOCH + timedelta(seconds=second)
    raise unreadable("a bucket has no time")


def unreadable(why: str) -> UnreadableUsageError:
    """Return an error for a response that is not as documented."""
    return UnreadableUsageError(f"The API's answer is not a page of usage as it is documented: {why}.")


def _wrong_organization(ours: str, theirs: str | None) -> UsageSyncError:
    if theirs is None:
        return UsageSyncError(
            f"The API's answer does not name the organization, so it may not be the usage of {ours}. "
            "Nothing of it was kept.",
            remedy="A gateway may strip the openai-organization header: read the usage from api.openai.com.",
        )
    return UsageSyncError(
        f"The admin key belongs to the organization {theirs}, the client's key to {ours}. Nothing of its "
        "usage was kept.",
        remedy=f"Use an admin key of {ours}.",
    )
