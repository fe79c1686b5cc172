"""Reads which fine-tuned models the whole organization has run, and when last.

``GET /organization/usage/completions`` counts requests in time buckets, and needs an admin key. A bucket
proves a run between its start and its end, so its start counts. Daily buckets are read first, then the last
active day by the hour and the last active hour by the minute.

https://platform.openai.com/docs/api-reference/usage/completions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import openai

from finetune_guard.domain.errors import UsageSyncError
from finetune_guard.domain.facts import Inference, ModelRequests
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import aware_utc
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.usage_pages import (
    DAYS,
    HOURS,
    MINUTES,
    Precision,
    UsagePage,
    UsageQuery,
    unreadable,
)

_MOST_LAG = timedelta(minutes=1)  # how far the usage data may lag behind the response


@dataclass(frozen=True)
class UsageRead:
    """The organization's usage, as far as it was read.

    Attributes:
        end: The time of the API's last response; the start if there was none.
        covered_until: The end of the usage that was read without a gap.
        requests: The number of calls by day, model and project.
    """

    start: datetime
    end: datetime
    covered_until: datetime
    latest: Inference | None
    precision: Precision | None
    requests: tuple[ModelRequests, ...]
    pages: int
    failure: openai.APIError | UsageSyncError | None = None

    @property
    def complete(self) -> bool:
        """Whether the usage was read without a gap up to the API's present."""
        return self.failure is None

    @property
    def models(self) -> int:
        """The number of fine-tuned models that ran."""
        return len({each.model for each in self.requests})

    @property
    def projects(self) -> frozenset[str]:
        """The ids of the projects that ran them."""
        return frozenset(each.project for each in self.requests if each.project is not None)


def read_usage(
    start: datetime, *, organization: str, key: str, on_page: Callable[[UsagePage], None]
) -> Flow[UsageRead]:
    """Read which fine-tuned models the organization has run from ``start`` up to the API's present.

    An error of the API, or an invalid page, ends the reading and is not raised. Each page is passed to
    ``on_page`` as it arrives, so that a later error does not lose it.
    """
    first_day = aware_utc(start).replace(hour=0, minute=0, second=0, microsecond=0)
    query = UsageQuery(DAYS, first_day, None, organization, key)
    pages: list[UsagePage] = []
    evidence = Evidence(organization=organization)
    failure: openai.APIError | UsageSyncError | None = None
    cursor: str | None = None
    cursors: set[str | None] = set()
    since = first_day
    while not pages or cursor is not None:
        reached_present = bool(pages) and since >= pages[-1].at
        try:
            page = yield from query.page(cursor, since)
            if page.end == since and (page.cursor in cursors or len(pages) > (page.at - first_day).days + 1):
                raise unreadable("its pages have no end")
        except (openai.APIError, UsageSyncError) as error:
            failure = None if reached_present else error  # pages after the present don't matter
            break
        if reached_present and page.end == since:
            break
        cursors.add(page.cursor)
        pages.append(page)
        evidence = evidence.merged(page.history.evidence)
        since, cursor = page.end, page.cursor
        on_page(page)
    end = max((page.at for page in pages), default=first_day)
    covered_until = evidence.usage_read_until(first_day) or first_day
    if failure is None and (covered_until == first_day or end - covered_until > _MOST_LAG):
        failure = UsageSyncError(f"The API's answers do not show all usage of {covered_until.date()} (UTC).")
    latest = max(
        (page.newest for page in pages if page.newest is not None), key=lambda each: each.at, default=None
    )
    precision = Precision.DAY if latest is not None else None
    if latest is not None and failure is None:
        latest, precision = yield from _refine(latest, query)
    return UsageRead(
        start=first_day,
        end=end,
        covered_until=covered_until,
        latest=latest,
        precision=precision,
        requests=tuple(each for page in pages for each in page.requests),
        pages=len(pages),
        failure=failure,
    )


def _refine(latest: Inference, days: UsageQuery) -> Flow[tuple[Inference, Precision]]:
    """Narrow the latest inference to the smallest bucket that can be read."""
    precision = days.buckets.precision
    for finer in (HOURS, MINUTES):
        end = latest.at + latest.within
        query = UsageQuery(finer, latest.at, end, days.organization, days.key)
        try:
            page = yield from query.page(None, latest.at)
        except (openai.APIError, UsageSyncError):
            break
        newest = page.newest
        # Else a gap in the response may hide a later one.
        if newest is None or page.history.evidence.usage_read_until(newest.at) != end:
            break
        latest, precision = newest, finer.precision
    return latest, precision
