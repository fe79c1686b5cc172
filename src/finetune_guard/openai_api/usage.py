"""Asking the API which fine-tuned models the whole organization has run, and when last.

``GET /organization/usage/completions`` adds up requests in buckets of time, for who has an admin key.
A bucket tells that a model was run between its start and its end, so it counts from its start. Daily
buckets are read first; then the last active day by the hour and the last active hour by the minute.

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

_PRESENT = timedelta(minutes=1)  # so long before its answer the API's present may end


@dataclass(frozen=True)
class UsageRead:
    """What came of reading the organization's usage.

    Attributes:
        end: The time of the API's last answer; the start where it gave none.
        covered_until: Up to when the usage was read without a gap from the start on.
        requests: How often each model was called on each day, and by which project.
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
        """How many fine-tuned models were run."""
        return len({each.model for each in self.requests})

    @property
    def projects(self) -> frozenset[str]:
        """The ids of the projects that ran them."""
        return frozenset(each.project for each in self.requests if each.project is not None)


def read_usage(
    start: datetime, *, organization: str, key: str, learn: Callable[[UsagePage], None]
) -> Flow[UsageRead]:
    """Read which fine-tuned models the organization has run from ``start`` up to the API's present.

    An error of the API, or a page that can't be used, ends the reading and is not raised. Each page is given
    to ``learn`` as it arrives, so that it outlives what happens next.
    """
    first_day = aware_utc(start).replace(hour=0, minute=0, second=0, microsecond=0)
    query = UsageQuery(DAYS, first_day, None, organization, key)
    pages: list[UsagePage] = []
    read = Evidence(organization=organization)
    failure: openai.APIError | UsageSyncError | None = None
    cursor: str | None = None
    followed: set[str | None] = set()
    since = first_day
    while not pages or cursor is not None:
        reached_present = bool(pages) and since >= pages[-1].at
        try:
            page = yield from query.page(cursor, since)
            if page.end == since and (page.cursor in followed or len(pages) > (page.at - first_day).days + 1):
                raise unreadable("its pages have no end")
        except (openai.APIError, UsageSyncError) as error:
            failure = None if reached_present else error  # a page after the last tells nothing that matters
            break
        if reached_present and page.end == since:
            break
        followed.add(page.cursor)
        pages.append(page)
        read = read.merged(page.history.evidence)
        since, cursor = page.end, page.cursor
        learn(page)
    end = max((page.at for page in pages), default=first_day)
    covered_until = read.usage_read_until(first_day) or first_day
    if failure is None and (covered_until == first_day or end - covered_until > _PRESENT):
        failure = UsageSyncError(f"The API's answers do not show all usage of {covered_until.date()} (UTC).")
    latest = max(
        (page.newest for page in pages if page.newest is not None), key=lambda each: each.at, default=None
    )
    precision = Precision.DAY if latest is not None else None
    if latest is not None and failure is None:
        latest, precision = yield from _refined(latest, query)
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


def _refined(latest: Inference, days: UsageQuery) -> Flow[tuple[Inference, Precision]]:
    """Find the smallest bucket of the latest inference; what can't be read leaves it as it is known."""
    precision = days.buckets.precision
    for finer in (HOURS, MINUTES):
        end = latest.at + latest.within
        query = UsageQuery(finer, latest.at, end, days.organization, days.key)
        try:
            page = yield from query.page(None, latest.at)
        except (openai.APIError, UsageSyncError):
            break
        newest = page.newest
        # A later one may hide where the answer shows nothing.
        if newest is None or page.history.evidence.usage_read_until(newest.at) != end:
            break
        latest, precision = newest, finer.precision
    return latest, precision
