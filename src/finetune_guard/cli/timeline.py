"""The dates that matter to an organization, in order, and the days on which its models end. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from enum import Enum
from itertools import groupby

from finetune_guard.domain.model_ids import base_of
from finetune_guard.domain.policy import AccessPolicy, Phase, Requirement
from finetune_guard.domain.shutdowns import Shutdown
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules.inventory import ModelRecord
from finetune_guard.rules.messages import format_time as to_the_minute
from finetune_guard.rules.model_messages import disagreement, source_of

_MOST_ENDS = 3
"""How many days on which models end are shown: more would crowd out the rest."""


class Mark(Enum):
    """The kinds of dates on the timeline."""

    PHASE = "phase"
    LAST_INFERENCE = "last inference"
    WINDOW_END = "window end"
    TODAY = "today"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class Moment:
    """One date on the timeline: a time, or a published day without hour and zone.

    Such a day stands ``at`` its first instant on Earth; one of the policy is ``over`` after its last.
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

    def distance(self, now: datetime) -> str:
        """Return the distance from ``now`` in words; empty for today."""
        if self.mark is Mark.TODAY:
            return ""
        if self.over is not None and self.at <= now < self.over:
            return "being crossed"
        return days_away((self.day - now.date()).days) if self.day is not None else time_away(self.at, now)


@dataclass(frozen=True)
class DayOfEnds:
    """A published day on which models end, and the replacements, of which some are tunable."""

    day: date
    models: tuple[str, ...]
    replacements: tuple[str, ...]
    tunable: tuple[str, ...]

    @property
    def replaced_by(self) -> str | None:
        """The published replacement of the models, as a clause; None if there is none."""
        others = [model for model in self.replacements if model not in self.tunable]
        parts = [with_ability(_listed(of), can) for of, can in ((self.tunable, True), (others, False)) if of]
        return "; ".join(parts) or None


def ends_by_day(models: Iterable[ModelRecord]) -> tuple[DayOfEnds, ...]:
    """Return the days on which an inventory's models end, in order."""
    dated = [(each.shutdown.day, each) for each in models if each.shutdown is not None]
    return tuple(_day(day, [each for _, each in of]) for day, of in groupby(dated, key=lambda pair: pair[0]))


def _day(day: date, models: list[ModelRecord]) -> DayOfEnds:
    named = {each.replacement: each.replacement_can_be_fine_tuned for each in models if each.replacement}
    replacements = tuple(sorted(named))
    return DayOfEnds(
        day, tuple(each.id for each in models), replacements, tuple(filter(named.get, replacements))
    )


def with_ability(model: str, tunable: bool | None) -> str:
    """Return a replacement's name and, if known, whether it can be fine-tuned."""
    return (
        model + {True: ", which can be fine-tuned", False: ", which can't be fine-tuned", None: ""}[tunable]
    )


def source_in_words(shutdown: Shutdown) -> str:
    """Return a date's source, its age, and what other sources say if they disagree."""
    return source_of(shutdown) + disagreement(shutdown)


def disagreements(models: Iterable[ModelRecord]) -> list[str]:
    """Return a sentence for each base model whose fine-tunes' dates differ between sources."""
    found = [(base_of(each.id), each.shutdown) for each in models if each.shutdown and each.shutdown.others]
    said = (
        f"Sources disagree on when fine-tunes of {base} end: {end.day} by {source_in_words(end)}."
        for base, end in found
    )
    return list(dict.fromkeys(said))


def _listed(models: Iterable[str]) -> str:
    *most, last = models
    return f"{', '.join(most)} and {last}" if most else last


def moments(
    eligibility: Eligibility, policy: AccessPolicy, ends: Sequence[DayOfEnds] = ()
) -> tuple[Moment, ...]:
    """Return the policy's dates, the window, today and the days on which models end, in order."""
    now = eligibility.checked_at
    found = [Moment(Mark.TODAY, now, "today")]
    found += [
        Moment(Mark.PHASE, phase.begins[0], _required(phase), phase.starts_on, phase.begins[1])
        for phase in policy.phases
        if phase.begins is not None
    ]
    if eligibility.last_inference is not None:
        found.append(Moment(Mark.LAST_INFERENCE, eligibility.last_inference.at, "last inference known"))
    if eligibility.window_closes_at is not None:
        found.append(Moment(Mark.WINDOW_END, eligibility.window_closes_at, "the window closes"))
    elif eligibility.window_closed_at is not None:
        found.append(Moment(Mark.WINDOW_END, eligibility.window_closed_at, "the window closed"))
    past = [each for each in ends if each.day < now.date()]
    shown = past[-1:] + [each for each in ends if each.day >= now.date()][:_MOST_ENDS]
    found += [_end(each, now) for each in shown]
    return tuple(sorted(found, key=lambda moment: (moment.at, moment.mark is Mark.TODAY)))


def coming(line: Sequence[Moment], eligibility: Eligibility) -> list[Moment]:
    """Return the dates that are not past yet and matter to the organization.

    The window's end does only if jobs can be created until then.
    """
    now = eligibility.checked_at

    def matters(moment: Moment) -> bool:
        if moment.mark is Mark.SHUTDOWN:
            return moment.day is not None and moment.day >= now.date()
        if moment.mark is Mark.WINDOW_END:
            return moment.at == eligibility.jobs_until
        return moment.over is not None and moment.over > now

    return list(filter(matters, line))


def _end(ends: DayOfEnds, now: datetime) -> Moment:
    number, at = len(ends.models), datetime.combine(ends.day, time(), timezone.utc)
    verb = "ended" if ends.day < now.date() else "ends" if number == 1 else "end"
    text = f"{counted(number, 'model')} known here {verb}, ±1 day"
    return Moment(Mark.SHUTDOWN, at, text, ends.day)


def _required(phase: Phase) -> str:
    days = phase.window.days if phase.window is not None else 0
    return {
        Requirement.EARLIER_FINE_TUNING: "only for those who fine-tuned before",
        Requirement.RECENT_INFERENCE: f"only with inference in the past {days} days",
        Requirement.CLOSED: "nobody can create jobs any more",
    }.get(phase.requirement, "no rule")


def time_away(at: datetime, now: datetime) -> str:
    """Return the distance between a time and ``now`` in words."""
    hours = (at - now).total_seconds() / 3600
    if abs(hours) >= 48:  # noqa: PLR2004 -- two days, up to which hours matter
        return days_away(int(hours / 24))
    whole = int(abs(hours))
    told = "< 1 hour" if whole < 1 else counted(whole, "hour")
    return f"in {told}" if hours > 0 else f"{told} ago"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 file`` or ``3 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def days_away(days: int) -> str:
    """Return a number of days as ``in 3 days`` or ``3 days ago``."""
    ahead = f"in {days} days" if days > 0 else f"{-days} days ago"
    return {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days, ahead)
