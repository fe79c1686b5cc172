"""What ends when, and which thresholds before an end have been crossed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Eligibility

THRESHOLDS = (1, 7, 15, 30)
"""How many days before an end it is told."""

WINDOW = "window"
MODEL = "model"


@dataclass(frozen=True)
class Ending:
    """Something that ends at a moment, in UTC, or on a published day, give or take one.

    ``most_days`` is the longest threshold that counts; less where something never has long to go.
    """

    kind: str
    name: str
    ends: date | datetime
    most_days: float = THRESHOLDS[-1]

    def days_left(self, now: datetime) -> int:
        """Return the days until it ends, begun ones included; negative when that has passed."""
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
    """Return how long the window is still open, by what is known; None where no window is known."""
    if eligibility.remaining is not None:
        return eligibility.remaining.total_seconds()
    return 0.0 if eligibility.window_closed_at is not None else None


def window_end(eligibility: Eligibility) -> Ending | None:
    """Return the end of the time in which jobs can be created; None where it is over or not known."""
    until = eligibility.jobs_until
    return Ending(WINDOW, eligibility.organization or "", until) if until is not None else None


def model_ends(names: Iterable[str], dates: ShutdownDates) -> list[Ending]:
    """Return the ends of those models whose end is known, the first to end first."""
    found = ((name, dates.shutdown_of(name)) for name in names)
    known = (Ending(MODEL, name, end.day) for name, end in found if end is not None)
    return sorted(known, key=lambda ending: (ending.ends, ending.name))


def is_crossed(before: int | None, threshold: int | None) -> bool:
    """Whether a threshold was crossed since ``before``, the one that was told last."""
    return threshold is not None and (before is None or threshold < before)
