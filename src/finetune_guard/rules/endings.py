"""When windows and models end, and which thresholds before an end have been crossed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Eligibility

THRESHOLDS = (1, 7, 15, 30)
"""The days before an end at which an event is emitted."""

WINDOW = "window"
MODEL = "model"


@dataclass(frozen=True)
class Ending:
    """An end at a time in UTC, or on a published day, give or take one.

    ``most_days`` is the longest threshold that counts.
    """

    kind: str
    name: str
    ends: date | datetime
    most_days: float = THRESHOLDS[-1]

    def days_left(self, now: datetime) -> int:
        """Return the days until the end, rounded up; negative once it has passed."""
        if isinstance(self.ends, datetime):
            return math.ceil((self.ends - now) / timedelta(days=1))
        return (self.ends - now.date()).days

    def threshold(self, now: datetime) -> int | None:
        """Return the nearest threshold that has been crossed; None before the first and after the end."""
        left = self.days_left(now)
        if left < 0 or (isinstance(self.ends, datetime) and self.ends <= now):
            return None
        return next((days for days in THRESHOLDS if left <= days <= self.most_days), None)


def seconds_open(eligibility: Eligibility) -> float | None:
    """Return the seconds until the window closes, 0 if it has closed; None if no window is known."""
    if eligibility.remaining is not None:
        return eligibility.remaining.total_seconds()
    return 0.0 if eligibility.window_closed_at is not None else None


def window_end(eligibility: Eligibility) -> Ending | None:
    """Return the end of the time for creating jobs; None if it is over or unknown."""
    until = eligibility.jobs_until
    return Ending(WINDOW, eligibility.organization or "", until) if until is not None else None


def model_ends(names: Iterable[str], dates: ShutdownDates) -> list[Ending]:
    """Return the known ends of models, the first to end first."""
    found = ((name, dates.shutdown_of(name)) for name in names)
    known = (Ending(MODEL, name, end.day) for name, end in found if end is not None)
    return sorted(known, key=lambda ending: (ending.ends, ending.name))


def is_crossed(before: int | None, threshold: int | None) -> bool:
    """Whether a threshold was crossed since ``before``, the last one reported."""
    return threshold is not None and (before is None or threshold < before)
