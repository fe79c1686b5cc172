"""What was seen and isn't written yet: inferences added up by model and source, and evidence.

No I/O and no clock here. Not thread-safe: whoever holds notes guards them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from finetune_guard.history import Activity, Evidence, History, Inference, Source
from finetune_guard.identity import Credentials


class Subject(NamedTuple):
    """Whom a fact is about, as far as a request tells.

    Attributes:
        organization: The slug that the response named; None when it named none.
        credentials: What the request was sent with.
    """

    organization: str | None
    credentials: Credentials


class Stream(NamedTuple):
    """Inferences that are added up together."""

    model: str
    source: Source


@dataclass
class _Tally:
    at: datetime
    counts: dict[date, int]


@dataclass
class Notes:
    """Everything about one subject that isn't written yet."""

    tallies: dict[Stream, _Tally] = field(default_factory=dict)
    evidence: Evidence | None = None

    def add(self, stream: Stream, at: datetime, day: date, count: int = 1) -> bool:
        """Note ``count`` inferences; return whether they are the first of their stream."""
        tally = self.tallies.get(stream)
        if tally is None:
            self.tallies[stream] = _Tally(at, {day: count})
            return True
        tally.at = max(tally.at, at)
        tally.counts[day] = tally.counts.get(day, 0) + count
        return False

    def learn(self, evidence: Evidence) -> None:
        """Note ``evidence``; the organization it names doesn't matter here."""
        self.evidence = evidence if self.evidence is None else self.evidence.merged(evidence)

    def take(self, other: Notes) -> None:
        """Note everything that ``other`` holds."""
        for stream, tally in other.tallies.items():
            for day, count in tally.counts.items():
                self.add(stream, tally.at, day, count)
        if other.evidence is not None:
            self.learn(other.evidence)

    def split(self, streams: Iterable[Stream]) -> Notes:
        """Take ``streams`` and the evidence out of these notes and return them."""
        taken = Notes({stream: self.tallies.pop(stream) for stream in streams}, self.evidence)
        self.evidence = None
        return taken

    def activities(self, organization: str) -> list[Activity]:
        """Return the inferences as what a store records."""
        return [
            Activity(
                inference=Inference(
                    organization=organization, model=stream.model, at=tally.at, source=stream.source
                ),
                counts=dict(tally.counts),
            )
            for stream, tally in self.tallies.items()
        ]

    def added_to(self, evidence: Evidence) -> Evidence:
        """Return ``evidence`` with what these notes tell."""
        for activity in self.activities(evidence.organization):
            evidence = evidence.recorded(activity.inference)
        return evidence if self.evidence is None else evidence.merged(self.evidence)

    def added_to_history(self, history: History) -> History:
        """Return ``history`` with what these notes tell."""
        for activity in self.activities(history.organization):
            history = history.recorded(activity)
        if self.evidence is None:
            return history
        return history.model_copy(update={"evidence": history.evidence.merged(self.evidence)})

    def __bool__(self) -> bool:
        return bool(self.tallies) or self.evidence is not None
