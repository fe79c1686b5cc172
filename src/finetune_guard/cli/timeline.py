"""The dates that matter to an organization, in their order. No I/O and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timezone
from enum import Enum

from finetune_guard.eligibility import Eligibility
from finetune_guard.models import ModelCatalog
from finetune_guard.policy import AccessPolicy, Phase, Requirement


class Mark(Enum):
    """What a moment is."""

    PHASE = "phase"
    LAST_INFERENCE = "last inference"
    WINDOW_END = "window end"
    TODAY = "today"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class Moment:
    """One point of the timeline.

    Attributes:
        mark: What it is.
        at: Where it stands; of a published day its first instant on Earth.
        text: What happens, in words.
        day: The published day, which has neither hour nor zone; None for an exact time.
        over: When a published day of the policy is over everywhere; None for what isn't one.
    """

    mark: Mark
    at: datetime
    text: str
    day: date | None = None
    over: datetime | None = None

    def is_crossed(self, now: datetime) -> bool:
        """Whether it is that day somewhere on Earth at ``now``, and has been or will be elsewhere."""
        return self.over is not None and self.at <= now < self.over


def moments(eligibility: Eligibility, policy: AccessPolicy, catalog: ModelCatalog) -> tuple[Moment, ...]:
    """Return the policy's dates, the window, today and the last model's end, in their order."""
    found = [Moment(Mark.TODAY, eligibility.checked_at, "today")]
    found += [
        Moment(Mark.PHASE, phase.begins[0], required(phase), phase.starts_on, phase.begins[1])
        for phase in policy.phases
        if phase.begins is not None
    ]
    last = eligibility.last_inference
    if last is not None:
        found.append(Moment(Mark.LAST_INFERENCE, last.at, "last inference known"))
        day = catalog.shutdown_of(last.model)
        if day is not None:
            at = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
            found.append(Moment(Mark.SHUTDOWN, at, "shutdown of the model used last, ±1 day", day))
    if eligibility.window_closes_at is not None:
        found.append(Moment(Mark.WINDOW_END, eligibility.window_closes_at, "the window closes"))
    elif eligibility.window_closed_at is not None:
        found.append(Moment(Mark.WINDOW_END, eligibility.window_closed_at, "the window closed"))
    return tuple(sorted(found, key=lambda moment: (moment.at, moment.mark is Mark.TODAY)))


def coming(line: tuple[Moment, ...], now: datetime) -> Moment | None:
    """Return the next moment, or the one that is being crossed at ``now``; None when none is known."""
    return next((moment for moment in line if (moment.over or moment.at) > now), None)


def required(phase: Phase) -> str:
    """Return what a phase asks of an organization, in a few words."""
    if phase.requirement is Requirement.EARLIER_FINE_TUNING:
        return "only for those who fine-tuned before"
    if phase.requirement is Requirement.RECENT_INFERENCE:
        days = phase.window.days if phase.window is not None else 0
        return f"only with inference in the past {days} days"
    if phase.requirement is Requirement.CLOSED:
        return "no new jobs for anyone"
    return "no rule"


def distance(moment: Moment, now: datetime) -> str:
    """Return how far a moment is from ``now``, in words."""
    if moment.mark is Mark.TODAY:
        return ""
    if moment.is_crossed(now):
        return "being crossed"
    if moment.day is not None:
        days = (moment.day - now.date()).days
        return {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days) or _days(days)
    hours = (moment.at - now).total_seconds() / 3600
    if abs(hours) < 1:
        return "in < 1 hour" if hours > 0 else "< 1 hour ago"
    if abs(hours) < 48:  # noqa: PLR2004 -- two days, up to which hours matter
        whole = int(abs(hours))
        unit = "hour" if whole == 1 else "hours"
        return f"in {whole} {unit}" if hours > 0 else f"{whole} {unit} ago"
    return _days(int(hours / 24))


def _days(days: int) -> str:
    return f"in {days} days" if days > 0 else f"{-days} days ago"
