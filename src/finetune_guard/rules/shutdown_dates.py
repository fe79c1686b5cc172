"""How long a fine-tune that is made now would live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from finetune_guard.domain.shutdowns import Shutdown, ShutdownDates


@dataclass(frozen=True)
class Prospect:
    """What is known of the life of a fine-tune that would be made now.

    Attributes:
        model: The model that it would be made from: a base model or a fine-tune.
        can_be_fine_tuned: Whether fine-tuning is or was offered for that; None where no source tells.
        base_shutdown: When that model ends; None when no source tells.
        fine_tunes_shutdown: When the new fine-tune would end; None when no source tells.
        lifetime: From now to 00:00 UTC of that day, zero or less when it has begun; None when no
            source tells.
        replacement: What the provider recommends instead; None where it names nothing.
        replacement_can_be_fine_tuned: Whether fine-tuning is offered for that; None without one.
    """

    model: str
    can_be_fine_tuned: bool | None = None
    base_shutdown: Shutdown | None = None
    fine_tunes_shutdown: Shutdown | None = None
    lifetime: timedelta | None = None
    replacement: str | None = None
    replacement_can_be_fine_tuned: bool | None = None

    def is_shut_down(self, today: date) -> bool:
        """Whether the model to start from is known to be gone: its day lies more than a day back."""
        return self.base_shutdown is not None and self.base_shutdown.is_over(today)


def prospect(model_id: str, dates: ShutdownDates, now: datetime) -> Prospect:
    """Return what is known of the life of a fine-tune made from ``model_id`` at ``now`` (aware)."""
    end = dates.of_fine_tunes_of(model_id)
    replacement, tunable = dates.successor_of(model_id)
    return Prospect(
        model=model_id,
        can_be_fine_tuned=dates.can_be_fine_tuned(model_id),
        base_shutdown=dates.of(model_id),
        fine_tunes_shutdown=end,
        lifetime=datetime.combine(end.day, time(), tzinfo=timezone.utc) - now if end is not None else None,
        replacement=replacement,
        replacement_can_be_fine_tuned=tunable,
    )
