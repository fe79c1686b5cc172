"""When a model is shut down, and where that date comes from.

Whether ``GET /models`` gives fine-tunes a ``shutdown_date`` of their own is not published, so the sources
are asked in this order:

1. the user's own dates, ``GuardConfig(model_dates=...)``;
2. what the API said about the model itself;
3. for a fine-tune, what it said about the base model;
4. the table of an installed litellm;
5. the table that ships with the package.

The API's ``null`` states nothing. Where its date of a base is, give or take a day, the one that a table has
too, and the table has another for fine-tunes of that base, the table's holds for them: the API has told
nothing new. Published days differ by one between publications, so a model is known to be gone only when even
the day after has passed. Where the tables disagree by more, both days are kept, and a model is gone only when
it is by both. What litellm's table alone tells stops nothing: how old it is, it doesn't say.

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
    """What ``GET /models`` said about one model, in UTC; ``day`` is None when it said that there is none."""

    day: date | None
    seen_at: UtcDatetime


class StatedEnd(Value):
    """The day on which one source says that a model ends, and when it said so; None where it doesn't tell."""

    day: date
    source: DateSource
    as_of: date | None = None


class Shutdown(Value):
    """The published end of a model.

    Attributes:
        model: The model that ends; a base model's id where its future fine-tunes are meant.
        day: The published day, give or take one.
        as_of: The day on which the source said so; None where it doesn't say.
        others: What sources further behind say, where that differs by more than a day.
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
        """Its day; where that is a table's, and another table disagrees, the later of the two."""
        is_tables = self.source is DateSource.LITELLM
        return max([self.day, *(other.day for other in self.others if is_tables)])

    def is_over(self, today: date) -> bool:
        """Whether the model is known to be gone: its last day lies more than a day back."""
        return (self.last_day - today).days < -1

    def may_be_over(self, today: date) -> bool:
        """Whether its day is tomorrow at the latest; together with the API's 404 that is proof enough."""
        return self.days_left(today) <= 1

    def days_left(self, today: date) -> int:
        """Return the days until its day; negative when that has passed."""
        return (self.day - today).days


@dataclass(frozen=True)
class ShutdownDates:
    """All that is known about the ends of models.

    ``announced`` is what the API said, ``litellm`` the table of an installed litellm, and ``configured`` the
    user's own dates, by model or base model; None for one that has no end.
    """

    catalog: ModelCatalog
    announced: Mapping[str, Announced] = field(default_factory=dict)
    litellm: Mapping[str, Row] = field(default_factory=dict)
    configured: Mapping[str, date | None] = field(default_factory=dict)

    def shutdown_of(self, model_id: str) -> Shutdown | None:
        """Return the end of a fine-tune or of a base model; None when no source tells one."""
        base = base_of(model_id)
        return self._end(model_id, base, of_fine_tunes=base != model_id)

    def shutdown_of_new_fine_tunes(self, model_id: str) -> Shutdown | None:
        """Return the end of a fine-tune that is made now from a base model, or from a fine-tune of it."""
        base = base_of(model_id)
        return self._end(base, base, of_fine_tunes=True)

    def is_over(self, model_id: str, today: date) -> bool:
        """Whether a model is known to be gone: its published day lies more than a day back."""
        shutdown = self.shutdown_of(model_id)
        return shutdown is not None and shutdown.is_over(today) and not self.is_litellms_alone(shutdown)

    def is_litellms_alone(self, shutdown: Shutdown | None) -> bool:
        """Whether an end rests on litellm's table alone: it is shown and warned of, and stops nothing."""
        if shutdown is None or shutdown.source is not DateSource.LITELLM:
            return False
        return self.catalog.lifetime_of(base_of(shutdown.model)) is None

    def replacement_of(self, model_id: str) -> str | None:
        """Return what the provider recommends instead of a base model or a fine-tune of it, if it does."""
        base = base_of(model_id)
        row, other = self.catalog.lifetime_of(base), self.litellm.get(base)
        return row.replacement if row is not None else other.replacement if other is not None else None

    def successor_of(self, model_id: str) -> tuple[str | None, bool | None]:
        """Return a model's replacement, and whether fine-tuning is offered for that; None without one."""
        replacement = self.replacement_of(model_id)
        return replacement, self.can_be_fine_tuned(replacement) if replacement is not None else None

    def can_be_fine_tuned(self, model_id: str) -> bool | None:
        """Return whether fine-tuning is offered for a model, shut down or not; None where no source tells."""
        return self.catalog.can_be_fine_tuned(model_id)

    def tunable_bases(self, today: date) -> tuple[str, ...]:
        """Return the base models for which fine-tuning is offered and whose end is still to come."""
        ends = ((row.id, self.shutdown_of(row.id)) for row in self.catalog.base_models)
        return tuple(base for base, end in ends if end is None or not end.may_be_over(today))

    def with_announced(self, announced: Mapping[str, Announced]) -> ShutdownDates:
        """Return what is known when the API's words in ``announced`` are added."""
        return replace(self, announced=merged_announcements(self.announced, announced))

    def _end(self, model_id: str, base: str, *, of_fine_tunes: bool) -> Shutdown | None:
        """Return the end of ``model_id``; of a base model's future fine-tunes where both are meant."""
        for name in (model_id, base, undated(base)):
            if name in self.configured:
                day = self.configured[name]
                return _shutdown(model_id, [StatedEnd(day=day, source=DateSource.CONFIG)] if day else [])
        is_yet_to_come = of_fine_tunes and base == model_id
        told = [] if is_yet_to_come else self._announced(model_id, DateSource.MODEL)
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
        if len(known) < len(ends):  # the user says that one has no end
            return None
        return max(known, key=lambda end: end.day).model_copy(update={"model": model_id})

    def _announced(self, model_id: str, source: DateSource) -> list[StatedEnd]:
        said = self.announced.get(model_id)
        if said is None or said.day is None:
            return []
        return [StatedEnd(day=said.day, source=source, as_of=said.seen_at.date())]

    def _announced_of_base(self, base: str) -> list[StatedEnd]:
        """Return what the API said about the base of a fine-tune, if that is news for the fine-tune."""
        told = self._announced(base, DateSource.BASE)
        own = self._published(base, of_fine_tunes=False)
        tuned = {each.source: each.day for each in self._published(base, of_fine_tunes=True)}
        repeats = any(
            abs(told[0].day - each.day).days <= 1 and tuned.get(each.source, each.day) != each.day
            for each in (own if told else ())
        )
        return [] if repeats else told

    def _published(self, base: str, *, of_fine_tunes: bool) -> list[StatedEnd]:
        """Return what the tables say about a base model or about its fine-tunes."""
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
    """Return the end by the first of ``days``, with those of the others that differ; None without one."""
    if not days:
        return None
    first, *rest = days
    others = tuple(each for each in rest if abs(each.day - first.day).days > 1)
    return Shutdown(model=model_id, day=first.day, source=first.source, as_of=first.as_of, others=others)


def merged_announcements(
    one: Mapping[str, Announced], other: Mapping[str, Announced]
) -> dict[str, Announced]:
    """Return what the API said last about each model, in whatever order and however often they are merged."""
    merged = dict(one)
    for model_id, said in other.items():
        merged[model_id] = latest_announced(merged.get(model_id), said)
    return merged


def latest_announced(one: Announced | None, other: Announced) -> Announced:
    """Return what the API said last; of two from one moment, the earlier day wins, and any day over none."""
    if one is None:
        return other
    return max(
        one, other, key=lambda each: (each.seen_at, each.day is not None, -(each.day or date.max).toordinal())
    )
