"""How often a model was called on one day, as the organization's usage counts it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class ModelRequests:
    """The requests of one model on one day. A plain class, since a page of usage can hold 100,000 of them.

    Attributes:
        day: The day (UTC).
        model: The id of the fine-tuned model.
        project: The project that called it; None where the usage does not name one.
        requests: How many requests there were.
    """

    day: date
    model: str
    project: str | None = None
    requests: int = 0
