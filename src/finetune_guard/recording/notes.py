"""What was seen and isn't written yet: inferences added up by model and source, and what was told.

No I/O and no clock here. Not thread-safe: whoever holds notes guards them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, TypeAlias

from finetune_guard.domain.history import Activity, Evidence, History, Inference, Source
from finetune_guard.domain.organizations import UNNAMED, Credentials


class Subject(NamedTuple):
    """Whom a fact is about, as far as a request tells.

    Attributes:
        organization: The slug that the response named; None when it named none.
        credentials: What the request was sent with.
    """

    organization: str | None
    credentials: Credentials


Stream: TypeAlias = tuple[str, Source]
"""Model and source of inferences that are added up together."""


def told(**facts: Any) -> History:
    """Return evidence as notes take it, whatever its organization turns out to be called."""
    return History(evidence=Evidence(organization=UNNAMED, **facts))


@dataclass
class _Tally:
    at: datetime
    counts: dict[date, int]


@dataclass
class Notes:
    """Everything about one subject that isn't written yet.

    Attributes:
        tallies: Inferences that were counted one by one.
        told: What else is known: to be merged, so that hearing it twice is the same as once.
        names: Ids of the organization and its projects, by the API's own word.
    """

    tallies: dict[Stream, _Tally] = field(default_factory=dict)
    told: History | None = None
    names: set[str] = field(default_factory=set)

    def add(self, stream: Stream, at: datetime, day: date, count: int = 1) -> bool:
        """Note ``count`` inferences; return whether they are the first of their stream."""
        tally = self.tallies.get(stream)
        if tally is None:
            self.tallies[stream] = _Tally(at, {day: count})
            return True
        if at > tally.at:  # noqa: PLR1730 -- max() takes longer, and every inference comes by here
            tally.at = at
        tally.counts[day] = tally.counts.get(day, 0) + count
        return False

    def learn(self, told: History | None, names: Iterable[str] = ()) -> None:
        """Note what is ``told``, and further names; which organization it names doesn't matter here."""
        if told is not None:
            self.told = told if self.told is None else self.told.merged(told)
        self.names.update(names)

    def take(self, other: Notes) -> None:
        """Note everything that ``other`` holds."""
        for stream, tally in other.tallies.items():
            for day, count in tally.counts.items():
                self.add(stream, tally.at, day, count)
        self.learn(other.told, other.names)

    def split(self, streams: Iterable[Stream]) -> Notes:
        """Take ``streams`` and what was told out of these notes and return them."""
        taken = Notes({stream: self.tallies.pop(stream) for stream in streams}, self.told, self.names)
        self.told, self.names = None, set()
        return taken

    @property
    def is_urgent(self) -> bool:
        """Whether something waits that is not throttled."""
        return self.told is not None or bool(self.names)

    def activities(self, organization: str) -> list[Activity]:
        """Return the inferences as what a store records."""
        return [
            Activity(
                inference=Inference(organization=organization, model=model, at=tally.at, source=source),
                counts=dict(tally.counts),
            )
            for (model, source), tally in self.tallies.items()
        ]

    def told_of(self, organization: str) -> History | None:
        """Return what was told as the part of an organization's history that a store merges."""
        nothing = History(evidence=Evidence(organization=organization))
        return nothing.merged(self.told) if self.told is not None else None

    def added_to(self, evidence: Evidence) -> Evidence:
        """Return ``evidence`` with what these notes tell."""
        for activity in self.activities(evidence.organization):
            evidence = evidence.recorded(activity.inference)
        return evidence if self.told is None else evidence.merged(self.told.evidence)

    def added_to_history(self, history: History) -> History:
        """Return ``history`` with what these notes tell."""
        for activity in self.activities(history.organization):
            history = history.recorded(activity)
        return history if self.told is None else history.merged(self.told)

    def __bool__(self) -> bool:
        return bool(self.tallies) or self.is_urgent
