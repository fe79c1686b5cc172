"""Asking the API which fine-tuned models the whole organization has run, and when last.

``GET /organization/usage/completions`` adds up requests in buckets of time, for who has an admin key.
A bucket tells that a model was run between its start and its end, so it counts from its start. Daily
buckets are read first; then the last active day by the hour and the last active hour by the minute.

No I/O and no clock here. https://platform.openai.com/docs/api-reference/usage/completions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import openai

from finetune_guard.domain.errors import UnreadableUsageError
from finetune_guard.domain.history import Evidence, History, Inference, Source
from finetune_guard.domain.policy import aware_utc
from finetune_guard.openai_api.flow import Flow, Reply
from finetune_guard.openai_api.usage_pages import (
    DAYS,
    HOURS,
    MINUTES,
    Precision,
    Range,
    UsagePart,
    unreadable,
)


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

    def latest_inference(self, organization: str) -> Inference | None:
        """Return the latest inference, as exactly as it is known."""
        if self.latest is None or self.precision is None:
            return None
        model, at = self.latest
        return _inference(organization, model, at, min(self.precision.length, self.end - at))


def as_history(part: UsagePart, organization: str) -> History:
    """Return what ``part`` tells as a history of ``organization``."""
    inferences = {
        model: _inference(organization, model, at, min(Precision.DAY.length, part.end - at))
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


def _inference(organization: str, model: str, at: datetime, within: timedelta) -> Inference:
    return Inference(organization=organization, model=model, at=at, source=Source.USAGE_API, within=within)


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
    days = Range(DAYS, first_day, aware_utc(end).replace(microsecond=0))
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
            if cursor in cursors or len(parts) > (days.end - days.start) // DAYS.length + 1:
                raise unreadable("its pages have no end")
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
    latest: tuple[str, datetime], days: Range, key: str, organization: str | None
) -> Flow[tuple[tuple[str, datetime], Precision]]:
    """Find the smallest bucket of the latest inference; what can't be read leaves it as it is known."""
    known = days.buckets
    for finer in (HOURS, MINUTES):
        at = latest[1]
        asked = Range(finer, at, at + min(known.length, days.end - at))
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
