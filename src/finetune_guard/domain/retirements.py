"""When Azure retires the training and the deployments of fine-tuned models, by Foundry's schedule.

"No earlier than" is a kind of date of its own: nothing ends on that day. No I/O and no clock here.
"""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

from finetune_guard.domain.model_ids import base_of
from finetune_guard.domain.str_enum import StrEnum


class DateKind(StrEnum):
    """What a published day says."""

    ON = "on"
    NO_EARLIER_THAN = "no_earlier_than"


class PublishedDate(BaseModel):
    """A day that a provider has published.

    Attributes:
        day: The day; its zone is not published.
        kind: Whether something ends on that day, or only not before it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    kind: DateKind


class Retirement(BaseModel):
    """When the fine-tunes of a base model retire.

    Attributes:
        base: The base model.
        training: From when on existing customers can't train it any more.
        deployments: When deployments of its fine-tunes end.
        source: Where that was published.
        as_of: The day of the publication.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    training: PublishedDate
    deployments: PublishedDate
    source: str = "Foundry's model retirement schedule"
    as_of: date = date(2026, 9, 2)


# A base model, the day before which training does not end, and the last day of its fine-tunes' deployments.
_ROWS = {
    "gpt-4.1-2025-04-14": (date(2027, 4, 14), date(2027, 10, 14)),
    "gpt-4.1-mini-2025-04-14": (date(2027, 4, 14), date(2027, 10, 14)),
    "gpt-4.1-nano-2025-04-14": (date(2027, 4, 14), date(2027, 10, 14)),
    "gpt-4o-2024-08-06": (date(2027, 4, 1), date(2027, 10, 1)),
    "gpt-4o-mini-2024-07-18": (date(2027, 4, 1), date(2027, 10, 1)),
    "o4-mini-2025-04-16": (date(2027, 4, 16), date(2027, 10, 16)),
}


def azure_retirement_of(model: str) -> Retirement | None:
    """Return when a fine-tune, by its id or its base's, retires on Azure; None where that is not known."""
    base = base_of(model)
    days = _ROWS.get(base)
    if days is None:
        return None
    training, deployments = days
    return Retirement(
        base=base,
        training=PublishedDate(day=training, kind=DateKind.NO_EARLIER_THAN),
        deployments=PublishedDate(day=deployments, kind=DateKind.ON),
    )
