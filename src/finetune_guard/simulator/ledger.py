"""What an organization has used, counted by the minute: it grows with time, not with calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

MINUTE = 60


class Use(NamedTuple):
    """What is counted together.

    Attributes:
        minute: The beginning of the minute, in Unix seconds.
        model: The id under which the model was served.
        project: The project that is charged.
        batch: Whether it was used by batches.
    """

    minute: int
    model: str
    project: str
    batch: bool


@dataclass
class Tally:
    """How much was used, and when for the last time."""

    latest: datetime
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Ledger:
    """The tallies of one organization. Whoever touches them holds the provider's lock."""

    def __init__(self) -> None:
        self._tallies: dict[Use, Tally] = {}

    def add(
        self, model: str, project: str, at: datetime, *, tokens: tuple[int, int], batch: bool = False
    ) -> None:
        """Count one successful request with its input and output tokens."""
        second = int(at.timestamp())
        use = Use(second - second % MINUTE, model, project, batch)
        tally = self._tallies.setdefault(use, Tally(at))
        tally.latest = max(tally.latest, at)
        tally.requests += 1
        tally.input_tokens += tokens[0]
        tally.output_tokens += tokens[1]

    def until(self, last: datetime) -> Iterator[tuple[Use, Tally]]:
        """Yield what was used up to ``last``; a minute with a later request is left out as a whole."""
        return ((use, tally) for use, tally in self._tallies.items() if tally.latest <= last)
