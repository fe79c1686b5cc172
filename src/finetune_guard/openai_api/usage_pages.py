"""The pages of ``GET /organization/usage/completions``: what is asked, and what an answer tells.

Usage that was read proves that there were no other inferences, so only what a page really shows counts as
read: the time of the buckets that are there, up to the moment of the answer. A bucket with a row that may
hide requests of a fine-tuned model proves nothing, and a page that isn't as documented is refused.

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
_MOST_AHEAD = timedelta(days=7)  # may a bucket begin after the answer's time: a clock here may be slow
_LIKE_FINE_TUNED = re.compile(r"(?:^|[:/.])ft[:-]")


class Precision(StrEnum):
    """How exactly the time of the latest inference is known."""

    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"


class Buckets(NamedTuple):
    """Buckets of one size: how the API calls it, how many to ask for, grouped by what."""

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
    """What one page told about the fine-tuned models of an organization.

    Attributes:
        history: The latest inference of each model, the requests of each day, and in ``usage_read`` the
            stretches of time of which the page shows every request.
        newest: The latest of those inferences; of several the model that sorts first.
        requests: How often each model was called on each day, and by which project.
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
    """A time whose usage is asked for in buckets of one size, with an admin key.

    The first bucket begins at ``start``. Without an ``end``, all up to the server's present is asked for.
    """

    buckets: Buckets
    start: datetime
    end: datetime | None
    organization: str
    key: str = field(repr=False)

    def page(self, cursor: str | None, since: datetime) -> Flow[UsagePage]:
        """Ask for the page that ``cursor`` stands for, the first one without, and read it.

        Raises:
            openai.APIError: The API answered with an error.
            UnreadableUsageError: The answer isn't as documented, or shows a time before ``since``.
            UsageSyncError: The answer doesn't name the organization as the one whose usage it is.
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
        """Return what an answer tells; see ``page``."""
        if reply.organization != self.organization:
            raise _not_of(self.organization, reply.organization)
        body = reply.body
        if not isinstance(body, Mapping) or not isinstance(body.get("data"), list):
            raise unreadable("it is no list of buckets")
        at = reply.at.replace(microsecond=0)
        shown_until = min(self.end or at, at)
        latest: dict[str, tuple[datetime, datetime]] = {}
        daily: dict[date, dict[Source, int]] = {}
        requests: list[ModelRequests] = []
        spans: list[Span] = []
        until = since
        for bucket in body["data"]:
            start, until, rows = self._bucket(bucket, until, self.end or at + _MOST_AHEAD)
            shows_all, day = start < shown_until, start.date()
            counts: dict[tuple[str, str | None], int] = {}  # of this bucket
            for row in rows:
                try:
                    used = _requests_in(row)
                except UnreadableUsageError:
                    shows_all = False
                    continue
                if used is not None:
                    model, count, project = used
                    whose = model, project if is_name(project, _LONGEST_PROJECT_ID) else None
                    counts[whose] = counts.get(whose, 0) + count
            for (model, known_project), count in counts.items():
                latest[model] = start, until
                requests.append(ModelRequests(day, model, known_project, count))
            if counts:
                sources = daily.setdefault(day, {Source.USAGE_API: 0})
                sources[Source.USAGE_API] += sum(counts.values())
            if shows_all:
                spans.append(Span(start=start, end=min(until, shown_until)))
        models = {
            model: self._inference(model, start, min(end, shown_until) if start < shown_until else end)
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
        """Return start, end and rows of a bucket that begins at ``since`` or later, and before ``until``."""
        if not isinstance(bucket, Mapping) or not isinstance(bucket.get("results"), list):
            raise unreadable("a bucket has no list of results")
        start, end = _moment(bucket.get("start_time")), _moment(bucket.get("end_time"))
        length = self.buckets.length
        if (start - self.start) % length or not timedelta(0) < end - start <= length:
            raise unreadable("a bucket is not of the size that was asked for")
        if not since <= start < until:
            raise unreadable("a bucket is out of order or was not asked for")
        return start, end, bucket["results"]


def _requests_in(row: Any) -> tuple[str, int, object] | None:
    """Return model, number and project of a row's requests of a fine-tuned model; None if it has none.

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
    """Whether ``model`` is a fine-tuned one; None for an id that looks like one and can't be read."""
    if FineTunedModel.parse(model) is not None:
        return True
    return None if not model.strip() or _LIKE_FINE_TUNED.search(model) else False


def _cursor(body: Mapping[str, Any]) -> str | None:
    cursor = body.get("next_page")
    return cursor if body.get("has_more") is not False and is_cursor(cursor) else None


def _moment(second: object) -> datetime:
    if type(second) is int:
        with suppress(OverflowError):
            return _EPOCH + timedelta(seconds=second)
    raise unreadable("a bucket has no time")


def unreadable(why: str) -> UnreadableUsageError:
    """Return the error that says why an answer is not what is documented."""
    return UnreadableUsageError(f"The API's answer is not a page of usage as it is documented: {why}.")


def _not_of(ours: str, theirs: str | None) -> UsageSyncError:
    if theirs is None:
        return UsageSyncError(
            f"The API's answer does not name the organization whose usage it is, so nobody can tell whether "
            f"it is {ours}. Nothing of it was kept.",
            remedy="A gateway may strip the openai-organization header: read the usage from api.openai.com.",
        )
    return UsageSyncError(
        f"The admin key belongs to the organization {theirs}, the client's key to {ours}. Nothing of its "
        "usage was kept.",
        remedy=f"Use an admin key of {ours}.",
    )
