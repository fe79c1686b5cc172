"""When a model is shut down, and where that date comes from.

Whether ``GET /models`` gives fine-tunes a ``shutdown_date`` of their own is not published, so three
sources are asked in this order:

1. what the API said about the model itself;
2. for a fine-tune, what it said about the base model;
3. the table that ships with the package.

The API's ``null`` states nothing, and the next source is asked. Where its date of a base is the one
that the table has too, give or take a day, and the table has another for fine-tunes of that base, then
the table's holds for them: the API has told nothing new. Published days differ by one between
publications, so a model is known to be gone only when even the day after has passed.

No I/O and no clock here: ``today`` is always an argument, the day in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict

from finetune_guard.domain.catalog import ModelCatalog
from finetune_guard.domain.model_ids import base_of
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.str_enum import StrEnum


class DateSource(StrEnum):
    """Where a shutdown date comes from."""

    MODEL = "model"
    BASE = "base"
    TABLE = "table"


class Announced(BaseModel):
    """What ``GET /models`` said about one model.

    Attributes:
        day: Its ``shutdown_date``; None when the API said that it has none.
        seen_at: When the API said so, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date | None
    seen_at: UtcDatetime


class Shutdown(BaseModel):
    """The published end of a model.

    Attributes:
        model: The model that ends; a base model's id where its future fine-tunes are meant.
        day: The published day, give or take one.
        source: Where it comes from.
        as_of: The day on which the source said so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    day: date
    source: DateSource
    as_of: date

    def is_over(self, today: date) -> bool:
        """Whether the model is known to be gone: its day lies more than a day back."""
        return self.days_left(today) < -1

    def may_be_over(self, today: date) -> bool:
        """Whether the model may be gone: its day is tomorrow at the latest.

        Together with the API's 404 for it, that is proof enough.
        """
        return self.days_left(today) <= 1

    def days_left(self, today: date) -> int:
        """Return the days until its day; negative when that has passed."""
        return (self.day - today).days


@dataclass(frozen=True)
class ShutdownDates:
    """All that is known about the ends of models.

    Attributes:
        catalog: The table.
        announced: What the API said, by model.
    """

    catalog: ModelCatalog
    announced: Mapping[str, Announced] = field(default_factory=dict)

    def of(self, model_id: str) -> Shutdown | None:
        """Return the end of a fine-tune or of a base model; None when no source tells one."""
        own = self._announced(model_id, model_id, DateSource.MODEL)
        if own is not None:
            return own
        base = base_of(model_id)
        if base != model_id:
            return self._of_fine_tune(model_id, base)
        row = self.catalog.lifetime_of(base)
        if row is None:
            return None
        return self._latest_of_versions(base, self.of) or self._published(base, row.shutdown)

    def of_fine_tunes_of(self, model_id: str) -> Shutdown | None:
        """Return the end of a fine-tune that is made now from a base model, or from a fine-tune of it."""
        base = base_of(model_id)
        return self._of_fine_tune(base, base)

    def is_over(self, model_id: str, today: date) -> bool:
        """Whether a model is known to be gone: its published day lies more than a day back."""
        shutdown = self.of(model_id)
        return shutdown is not None and shutdown.is_over(today)

    def replacement_of(self, model_id: str) -> str | None:
        """Return what the provider recommends instead of a base model or a fine-tune of it, if it does."""
        row = self.catalog.lifetime_of(base_of(model_id))
        return row.replacement if row is not None else None

    def successor_of(self, model_id: str) -> tuple[str | None, bool | None]:
        """Return a model's replacement, and whether fine-tuning is offered for that; None without one."""
        replacement = self.replacement_of(model_id)
        return replacement, self.can_be_fine_tuned(replacement) if replacement is not None else None

    def can_be_fine_tuned(self, model_id: str) -> bool | None:
        """Return whether fine-tuning is offered for a model, shut down or not; None where no source tells."""
        return self.catalog.can_be_fine_tuned(model_id)

    def tunable_bases(self, today: date) -> tuple[str, ...]:
        """Return the base models for which fine-tuning is offered and whose end is still to come."""
        ends = ((row.id, self.of(row.id)) for row in self.catalog.base_models)
        return tuple(base for base, end in ends if end is None or not end.may_be_over(today))

    def with_announced(self, announced: Mapping[str, Announced]) -> ShutdownDates:
        """Return what is known when the API's words in ``announced`` are added."""
        return ShutdownDates(self.catalog, merged_announcements(self.announced, announced))

    def _of_fine_tune(self, model_id: str, base: str) -> Shutdown | None:
        stated = self._announced(model_id, base, DateSource.BASE)
        row = self.catalog.lifetime_of(base)
        if row is None:
            return stated
        of_versions = self._latest_of_versions(base, lambda version: self._of_fine_tune(model_id, version))
        if stated is None and of_versions is not None:
            return of_versions
        differs = row.fine_tunes_shutdown != row.shutdown
        if stated is None or (differs and abs(stated.day - row.shutdown).days <= 1):
            return self._published(model_id, row.fine_tunes_shutdown)
        return stated

    def _latest_of_versions(self, base: str, end_of: Callable[[str], Shutdown | None]) -> Shutdown | None:
        """Return the last end of the dated models that ``base`` may stand for; None if it is no alias."""
        ends = (end_of(version.id) for version in self.catalog.versions_of(base))
        return max((end for end in ends if end is not None), key=lambda end: end.day, default=None)

    def _announced(self, model_id: str, of: str, source: DateSource) -> Shutdown | None:
        said = self.announced.get(of)
        if said is None or said.day is None:
            return None
        return Shutdown(model=model_id, day=said.day, source=source, as_of=said.seen_at.date())

    def _published(self, model_id: str, day: date) -> Shutdown:
        return Shutdown(model=model_id, day=day, source=DateSource.TABLE, as_of=self.catalog.as_of)


def merged_announcements(
    one: Mapping[str, Announced], other: Mapping[str, Announced]
) -> dict[str, Announced]:
    """Return what the API said last about each model.

    Of two words from the same moment a day wins over none, and the earlier day over the later: in which
    order, or how often, they are merged does not matter.
    """
    merged = dict(one)
    for model_id, said in other.items():
        merged[model_id] = latest_announced(merged.get(model_id), said)
    return merged


def latest_announced(one: Announced | None, other: Announced) -> Announced:
    """Return what the API said last; of two from one moment, the earlier day wins, and any day over none."""
    return other if one is None else max(one, other, key=_order)


def _order(said: Announced) -> tuple[datetime, int]:
    return said.seen_at, -said.day.toordinal() if said.day is not None else -date.max.toordinal() - 1
