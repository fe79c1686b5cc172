"""The dates that matter to an organization, in order. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from enum import Enum

from finetune_guard.cli.ends import DayOfEnds
from finetune_guard.domain.policy import AccessPolicy, Phase, Requirement
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules.messages import moment as to_the_minute

_MOST_ENDS = 3
"""How many days on which models end are shown: more would crowd out the rest."""


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

    @property
    def when(self) -> str:
        """The day, or the time to the minute."""
        return str(self.day) if self.day is not None else to_the_minute(self.at)

    def is_crossed(self, now: datetime) -> bool:
        """Whether it is that day somewhere on Earth at ``now``, and has been or will be elsewhere."""
        return self.over is not None and self.at <= now < self.over


def moments(
    eligibility: Eligibility, policy: AccessPolicy, ends: Sequence[DayOfEnds] = ()
) -> tuple[Moment, ...]:
    """Return the policy's dates, the window, today and the days on which models end, in their order."""
    now = eligibility.checked_at
    found = [Moment(Mark.TODAY, now, "today")]
    found += [
        Moment(Mark.PHASE, phase.begins[0], required(phase), phase.starts_on, phase.begins[1])
        for phase in policy.phases
        if phase.begins is not None
    ]
    if eligibility.last_inference is not None:
        found.append(Moment(Mark.LAST_INFERENCE, eligibility.last_inference.at, "last inference known"))
    if eligibility.window_closes_at is not None:
        found.append(Moment(Mark.WINDOW_END, eligibility.window_closes_at, "the window closes"))
    elif eligibility.window_closed_at is not None:
        found.append(Moment(Mark.WINDOW_END, eligibility.window_closed_at, "the window closed"))
    found += [_end(day, now) for day in _shown(ends, now)]
    return tuple(sorted(found, key=lambda moment: (moment.at, moment.mark is Mark.TODAY)))


def coming(line: Sequence[Moment], eligibility: Eligibility) -> list[Moment]:
    """Return what is still to come or is being crossed, and matters to the organization.

    The window's end doesn't once nobody can create jobs any more.
    """
    now = eligibility.checked_at
    closing = next((moment.at for moment in line if moment.day == eligibility.creation_ends_on), None)

    def matters(moment: Moment) -> bool:
        if moment.mark is Mark.SHUTDOWN:
            return moment.day is not None and moment.day >= now.date()
        if moment.mark is Mark.WINDOW_END:
            return moment.at > now and (closing is None or moment.at < closing)
        return moment.over is not None and moment.over > now

    return list(filter(matters, line))


def _shown(ends: Sequence[DayOfEnds], now: datetime) -> list[DayOfEnds]:
    """The next days on which models end, and the last one that has passed."""
    past = [each for each in ends if each.day < now.date()]
    return past[-1:] + [each for each in ends if each.day >= now.date()][:_MOST_ENDS]


def _end(ends: DayOfEnds, now: datetime) -> Moment:
    at = datetime(ends.day.year, ends.day.month, ends.day.day, tzinfo=timezone.utc)
    one = len(ends.models) == 1
    number = f"{len(ends.models):,} model{'' if one else 's'} known here"
    is_over = ends.day < now.date()
    text = f"{number} {'ended' if is_over else 'ends' if one else 'end'}, ±1 day"
    return Moment(Mark.SHUTDOWN, at, text, ends.day)


def required(phase: Phase) -> str:
    """Return what a phase asks of an organization, in a few words."""
    if phase.requirement is Requirement.EARLIER_FINE_TUNING:
        return "only for those who fine-tuned before"
    if phase.requirement is Requirement.RECENT_INFERENCE:
        days = phase.window.days if phase.window is not None else 0
        return f"only with inference in the past {days} days"
    if phase.requirement is Requirement.CLOSED:
        return "nobody can create jobs any more"
    return "no rule"


def distance(moment: Moment, now: datetime) -> str:
    """Return how far a moment is from ``now``, in words."""
    if moment.mark is Mark.TODAY:
        return ""
    if moment.is_crossed(now):
        return "being crossed"
    return days_away((moment.day - now.date()).days) if moment.day is not None else time_away(moment.at, now)


def time_away(at: datetime, now: datetime) -> str:
    """Return how far a time is from ``now``, in words."""
    hours = (at - now).total_seconds() / 3600
    if abs(hours) < 1:
        return "in < 1 hour" if hours > 0 else "< 1 hour ago"
    if abs(hours) < 48:  # noqa: PLR2004 -- two days, up to which hours matter
        whole = int(abs(hours))
        unit = "hour" if whole == 1 else "hours"
        return f"in {whole} {unit}" if hours > 0 else f"{whole} {unit} ago"
    return days_away(int(hours / 24))


def days_away(days: int) -> str:
    """Return in how many days something is, or how many ago it was."""
    ahead = f"in {days} days" if days > 0 else f"{-days} days ago"
    return {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days, ahead)
