"""When a model is shut down, and where that date comes from.

Whether ``GET /models`` gives fine-tunes a ``shutdown_date`` of their own is not published, so the sources
are asked in this order:

1. the user's own dates, ``GuardConfig(model_dates=...)``;
2. what the API said about the model itself;
3. for a fine-tune, what it said about the base model;
4. the table of an installed litellm;
5. the table that ships with the package.

A ``null`` from the API says nothing. If the API's date for a base is the one in a table, give or take a day,
and the table has another date for fine-tunes of that base, the table's date counts for them: the API has said
nothing new. Publications differ by a day, so a model is known to be shut down only once the day after has
passed too. If the tables differ by more, both days are kept, and a model is shut down only after the later
one. litellm's table alone never stops a job, since it doesn't say how old it is.

``today`` is always the day in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from finetune_guard.domain.catalog import ModelCatalog, Row, undated
from finetune_guard.domain.model_ids import base_of
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.values import StrEnum, Value


class DateSource(StrEnum):
    """Where a shutdown date comes from."""

    CONFIG = "config"
    MODEL = "model"
    BASE = "base"
    LITELLM = "litellm"
    TABLE = "table"


class Announced(Value):
    """The shutdown day in a response of ``GET /models``; ``day`` is None if it was ``null``."""

    day: date | None
    seen_at: UtcDatetime


class StatedEnd(Value):
    """A model's last day according to one source, and the date of that source, if known."""

    day: date
    source: DateSource
    as_of: date | None = None


class Shutdown(Value):
    """The published end of a model.

    Attributes:
        model: The model that ends; a base model's id also stands for its future fine-tunes.
        day: The published day, give or take one.
        as_of: The date of the source; None if unknown.
        others: The days of lower-ranked sources that differ by more than a day.
    """

    model: str
    day: date
    source: DateSource
    as_of: date | None
    others: tuple[StatedEnd, ...] = ()

    def __str__(self) -> str:
        as_of = f", as of {self.as_of}" if self.as_of is not None else ""
        others = "".join(f"; {other.source}: {other.day}" for other in self.others)
        return f"{self.day}, give or take a day (source: {self.source}{as_of}{others})"

    @property
    def last_day(self) -> date:
        """Its day; if two tables disagree, the later of theirs."""
        is_tables = self.source is DateSource.LITELLM
        return max([self.day, *(other.day for other in self.others if is_tables)])

    def is_over(self, today: date) -> bool:
        """Whether the model is known to be shut down: its last day is more than one day past."""
        return (self.last_day - today).days < -1

    def may_be_over(self, today: date) -> bool:
        """Whether its day is tomorrow or earlier; with a 404 of the API, that is proof enough."""
        return self.days_left(today) <= 1

    def days_left(self, today: date) -> int:
        """Return the days until its day; negative once it has passed."""
        return (self.day - today).days


@dataclass(frozen=True)
class ShutdownDates:
    """The shutdown dates of models from all sources.

    ``announced`` are the API's dates, ``litellm`` the table of an installed litellm, and ``configured`` the
    user's own dates, by model or base model; None for a model without an end.
    """

    catalog: ModelCatalog
    announced: Mapping[str, Announced] = field(default_factory=dict)
    litellm: Mapping[str, Row] = field(default_factory=dict)
    configured: Mapping[str, date | None] = field(default_factory=dict)

    def shutdown_of(self, model_id: str) -> Shutdown | None:
        """Return the end of a fine-tune or of a base model; None if no source has one."""
        base = base_of(model_id)
        return self._end(model_id, base, of_fine_tunes=base != model_id)

    def shutdown_of_new_fine_tunes(self, model_id: str) -> Shutdown | None:
        """Return the end of a new fine-tune of a base model, or of a fine-tune of it."""
        base = base_of(model_id)
        return self._end(base, base, of_fine_tunes=True)

    def is_over(self, model_id: str, today: date) -> bool:
        """Whether a model is known to be shut down: its published day is more than one day past."""
        shutdown = self.shutdown_of(model_id)
        return shutdown is not None and shutdown.is_over(today) and not self.is_only_in_litellm(shutdown)

    def is_only_in_litellm(self, shutdown: Shutdown | None) -> bool:
        """Whether only litellm's table has this end, which then causes warnings but stops nothing."""
        if shutdown is None or shutdown.source is not DateSource.LITELLM:
            return False
        return self.catalog.lifetime_of(base_of(shutdown.model)) is None

    def replacement_of(self, model_id: str) -> str | None:
        """Return the recommended replacement of a base model or of a fine-tune of it, if any."""
        base = base_of(model_id)
        row, other = self.catalog.lifetime_of(base), self.litellm.get(base)
        return row.replacement if row is not None else other.replacement if other is not None else None

    def successor_of(self, model_id: str) -> tuple[str | None, bool | None]:
        """Return a model's replacement, and whether that can be fine-tuned; None if there is none."""
        replacement = self.replacement_of(model_id)
        return replacement, self.can_be_fine_tuned(replacement) if replacement is not None else None

    def can_be_fine_tuned(self, model_id: str) -> bool | None:
        """Return whether fine-tuning is or was offered for a model; None if unknown."""
        return self.catalog.can_be_fine_tuned(model_id)

    def tunable_bases(self, today: date) -> tuple[str, ...]:
        """Return the base models that can be fine-tuned and are not shut down yet."""
        ends = ((row.id, self.shutdown_of(row.id)) for row in self.catalog.base_models)
        return tuple(base for base, end in ends if end is None or not end.may_be_over(today))

    def with_announced(self, announced: Mapping[str, Announced]) -> ShutdownDates:
        """Return the dates with the API's ``announced`` ones added."""
        return replace(self, announced=merged_announcements(self.announced, announced))

    def _end(self, model_id: str, base: str, *, of_fine_tunes: bool) -> Shutdown | None:
        """Return the end of ``model_id``, or of a base model's future fine-tunes."""
        for name in (model_id, base, undated(base)):
            if name in self.configured:
                day = self.configured[name]
                return _shutdown(model_id, [StatedEnd(day=day, source=DateSource.CONFIG)] if day else [])
        is_future_tune = of_fine_tunes and base == model_id
        told = [] if is_future_tune else self._announced(model_id, DateSource.MODEL)
        if of_fine_tunes and not told:
            told = self._announced_of_base(base)
        versions = self.catalog.versions_of(base) if not told else []
        if not versions:
            return _shutdown(model_id, [*told, *self._published(base, of_fine_tunes=of_fine_tunes)])
        ends = [
            self._end(model_id if of_fine_tunes else row.id, row.id, of_fine_tunes=of_fine_tunes)
            for row in versions
        ]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends):  # the user configured one without an end
            return None
        return max(known, key=lambda end: end.day).model_copy(update={"model": model_id})

    def _announced(self, model_id: str, source: DateSource) -> list[StatedEnd]:
        said = self.announced.get(model_id)
        if said is None or said.day is None:
            return []
        return [StatedEnd(day=said.day, source=source, as_of=said.seen_at.date())]

    def _announced_of_base(self, base: str) -> list[StatedEnd]:
        """Return the API's date for a fine-tune's base, unless a table has it for the base alone."""
        told = self._announced(base, DateSource.BASE)
        own = self._published(base, of_fine_tunes=False)
        tuned = {each.source: each.day for each in self._published(base, of_fine_tunes=True)}
        repeats = any(
            abs(told[0].day - each.day).days <= 1 and tuned.get(each.source, each.day) != each.day
            for each in (own if told else ())
        )
        return [] if repeats else told

    def _published(self, base: str, *, of_fine_tunes: bool) -> list[StatedEnd]:
        """Return the tables' dates for a base model or for its fine-tunes."""
        found, row = [], self.catalog.lifetime_of(base)
        other = self.litellm.get(f"ft:{base}" if of_fine_tunes else base)
        if other is None and row is None:
            other = self.litellm.get(base)
        if other is not None:
            found.append(StatedEnd(day=other.day, source=DateSource.LITELLM))
        if row is not None:
            day = row.fine_tunes_shutdown if of_fine_tunes else row.shutdown
            found.append(StatedEnd(day=day, source=DateSource.TABLE, as_of=self.catalog.as_of))
        return found


def _shutdown(model_id: str, days: Sequence[StatedEnd]) -> Shutdown | None:
    """Return the end given by the first of ``days``, with the differing others; None if empty."""
    if not days:
        return None
    first, *rest = days
    others = tuple(each for each in rest if abs(each.day - first.day).days > 1)
    return Shutdown(model=model_id, day=first.day, source=first.source, as_of=first.as_of, others=others)


def merged_announcements(
    one: Mapping[str, Announced], other: Mapping[str, Announced]
) -> dict[str, Announced]:
    """Return the latest announcement for each model; the order of merging doesn't matter."""
    merged = dict(one)
    for model_id, said in other.items():
        merged[model_id] = latest_announced(merged.get(model_id), said)
    return merged


def latest_announced(one: Announced | None, other: Announced) -> Announced:
    """Return the later announcement; at the same time, the earlier day wins, and any day over none."""
    if one is None:
        return other
    return max(
        one, other, key=lambda each: (each.seen_at, each.day is not None, -(each.day or date.max).toordinal())
    )
