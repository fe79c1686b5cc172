"""How long fine-tuned models live: each that a key can see or a history remembers, and one made now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from finetune_guard.domain.facts import Inference
from finetune_guard.domain.history import History
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.policy import UtcDatetime, aware_utc
from finetune_guard.domain.shutdowns import Shutdown, ShutdownDates
from finetune_guard.domain.values import Value
from finetune_guard.openai_api.errors import status_and_code
from finetune_guard.openai_api.listing import Listing

MOST_JOB_PAGES = 1_000
"""How many pages of jobs are read for an inventory."""


class ModelRecord(Value):
    """One fine-tuned model; unknown values are None.

    Attributes:
        created_at: When it was made, in UTC.
        shutdown: When it ends, and the source of that date.
        days_left: Days until then, negative afterwards.
        replacement: What the provider recommends instead.
        visible: Whether the key can see it; False if only the organization's history knows it.
    """

    id: str
    base: str
    checkpoint_step: int | None = None
    created_at: UtcDatetime | None = None
    last_inference: Inference | None = None
    shutdown: Shutdown | None = None
    days_left: int | None = None
    replacement: str | None = None
    replacement_can_be_fine_tuned: bool | None = None
    visible: bool

    def __str__(self) -> str:
        used = f"last used {self.last_inference.at:%Y-%m-%d}" if self.last_inference else "no use known"
        ends = f"ends on {self.shutdown}" if self.shutdown is not None else "no end known"
        return f"{self.id}: {used}, {ends}"


class Inventory(Value):
    """All fine-tuned models known at ``as_of`` (UTC), the first to end first.

    Attributes:
        complete: Whether every request succeeded and every list was read to its end. A key sees only its own
            project.
        failure: The API's first error, as status and code; None if there was none.
    """

    models: tuple[ModelRecord, ...]
    as_of: UtcDatetime
    complete: bool
    failure: str | None = None


def build_inventory(found: Listing, history: History, dates: ShutdownDates, now: datetime) -> Inventory:
    """Return every model that the API listed or the history holds."""
    as_of = aware_utc(now)
    dates = dates.with_announced(found.announced)
    known = (FineTunedModel.parse(model_id) for model_id in {*history.known_models, *found.created})
    records = [_record(model, found, history, dates, as_of.date()) for model in known if model is not None]
    return Inventory(
        models=tuple(sorted(records, key=_order)),
        as_of=as_of,
        complete=found.complete,
        failure=status_and_code(found.failure) if found.failure is not None else None,
    )


def _record(
    model: FineTunedModel, found: Listing, history: History, dates: ShutdownDates, today: date
) -> ModelRecord:
    shutdown = dates.shutdown_of(model.id)
    replacement, tunable = dates.successor_of(model.id)
    return ModelRecord(
        id=model.id,
        base=model.base,
        checkpoint_step=model.step,
        created_at=found.created.get(model.id),
        last_inference=history.models.get(model.id),
        shutdown=shutdown,
        days_left=shutdown.days_left(today) if shutdown is not None else None,
        replacement=replacement,
        replacement_can_be_fine_tuned=tunable,
        visible=model.id in found.created,
    )


def _order(record: ModelRecord) -> tuple[bool, date, str]:
    day = record.shutdown.day if record.shutdown is not None else date.max
    return record.shutdown is None, day, record.id


@dataclass(frozen=True)
class Prospect:
    """The lifetime of a fine-tune made from ``model`` now; unknown values are None.

    Attributes:
        can_be_fine_tuned: Whether fine-tuning is or was offered for the model.
        base_shutdown: When the model ends.
        fine_tunes_shutdown: When the new fine-tune would end.
        lifetime: The time from now to 00:00 UTC of that day; zero or less once the day has begun.
        replacement: What the provider recommends instead.
        is_certain: Whether the days may stop a job: not if only litellm's table has them.
    """

    model: str
    can_be_fine_tuned: bool | None = None
    base_shutdown: Shutdown | None = None
    fine_tunes_shutdown: Shutdown | None = None
    lifetime: timedelta | None = None
    replacement: str | None = None
    replacement_can_be_fine_tuned: bool | None = None
    is_certain: bool = True

    def is_shut_down(self, today: date) -> bool:
        """Whether the model to start from is known to be shut down: its day is more than one day past."""
        return self.is_certain and self.base_shutdown is not None and self.base_shutdown.is_over(today)

    def lives_for(self, least: timedelta) -> bool | None:
        """Whether the new fine-tune would live at least as long; None if unknown.

        If two tables disagree, the later day counts.
        """
        end = self.fine_tunes_shutdown
        if end is None or self.lifetime is None:
            return None
        if self.lifetime + (end.last_day - end.day) >= least:
            return True
        return False if self.is_certain else None


def prospect_of(model_id: str, dates: ShutdownDates, now: datetime) -> Prospect:
    """Return the lifetime of a fine-tune made from ``model_id`` at ``now`` (aware)."""
    base_end, end = dates.shutdown_of(model_id), dates.shutdown_of_new_fine_tunes(model_id)
    replacement, tunable = dates.successor_of(model_id)
    return Prospect(
        model=model_id,
        can_be_fine_tuned=dates.can_be_fine_tuned(model_id),
        base_shutdown=base_end,
        fine_tunes_shutdown=end,
        lifetime=datetime.combine(end.day, time(), tzinfo=timezone.utc) - now if end is not None else None,
        replacement=replacement,
        replacement_can_be_fine_tuned=tunable,
        is_certain=not any(map(dates.is_only_in_litellm, (base_end, end))),
    )
