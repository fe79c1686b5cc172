"""How often a model was called on one day, as the organization's usage counts it."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict


class ModelRequests(BaseModel):
    """The requests of one model on one day.

    Attributes:
        day: The day (UTC).
        model: The id of the fine-tuned model.
        project: The project that called it; None where the usage does not name one.
        requests: How many requests there were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    model: str
    project: str | None = None
    requests: int
