"""When an organization's models end, day by day. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from finetune_guard.domain.model_ids import base_of
from finetune_guard.domain.shutdowns import Shutdown, ShutdownDates
from finetune_guard.rules.model_messages import disagreement, source_of

SOON_DAYS = 90
"""How long before an end it is said what is to be done about it."""


@dataclass(frozen=True)
class DayOfEnds:
    """A day on which models end.

    Attributes:
        day: The published day, give or take one.
        models: The models.
        replacements: What the provider recommends instead of them.
        tunable: Those of the replacements for which fine-tuning is offered.
    """

    day: date
    models: tuple[str, ...]
    replacements: tuple[str, ...]
    tunable: tuple[str, ...]


def ends_by_day(models: Iterable[str], dates: ShutdownDates) -> tuple[DayOfEnds, ...]:
    """Return the days on which ``models`` end, in their order; models without a known end are left out."""
    by_day: dict[date, list[str]] = {}
    for model in sorted(models):
        shutdown = dates.of(model)
        if shutdown is not None:
            by_day.setdefault(shutdown.day, []).append(model)
    return tuple(_day(day, by_day[day], dates) for day in sorted(by_day))


def _day(day: date, models: list[str], dates: ShutdownDates) -> DayOfEnds:
    named = sorted(set(filter(None, map(dates.replacement_of, models))))
    return DayOfEnds(day, tuple(models), tuple(named), tuple(filter(dates.can_be_fine_tuned, named)))


def replaced_by(ends: DayOfEnds) -> str | None:
    """Return what is published about the replacement of models, as a clause; None where nothing is."""
    if not ends.replacements:
        return None
    untunable = [model for model in ends.replacements if model not in ends.tunable]
    parts = [f"{_listed(ends.tunable)}, which can be fine-tuned" if ends.tunable else ""]
    parts.append(f"{_listed(untunable)}, which can't be fine-tuned" if untunable else "")
    return "; ".join(filter(None, parts))


def source_in_words(shutdown: Shutdown) -> str:
    """Return where a day comes from, as of when, and what other sources say if they disagree."""
    return source_of(shutdown) + disagreement(shutdown)


def disagreements(models: Iterable[str], dates: ShutdownDates) -> list[str]:
    """Return a sentence for each base model about whose fine-tunes, among ``models``, sources disagree."""
    found: dict[str, None] = {}
    for model in sorted(models):
        shutdown = dates.of(model)
        if shutdown is not None and shutdown.others:
            said = f"{shutdown.day} by {source_in_words(shutdown)}"
            found[f"Sources disagree on when fine-tunes of {base_of(model)} end: {said}."] = None
    return list(found)


def _listed(models: Iterable[str]) -> str:
    *most, last = models
    return f"{', '.join(most)} and {last}" if most else last
