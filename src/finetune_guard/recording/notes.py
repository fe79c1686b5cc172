"""What was seen and isn't written yet: inferences added up by model and source, and other facts.

It is not thread-safe: whoever holds notes guards them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, TypeAlias

from finetune_guard.domain.facts import Activity, Inference, Served, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials

MOST_SUBJECTS = 10_000
"""How many subjects may wait at once: keys that change with every request must not fill the memory."""


class Subject(NamedTuple):
    """Whom a fact is about: the slug that the response named, and what the request was sent with."""

    organization: str | None
    credentials: Credentials


Stream: TypeAlias = tuple[str, Source, str | None]
"""Model and source of inferences that are added up together, and what a deployment served in them."""


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
        told: What else is known: to be merged, so that hearing it twice is the same as once.
        names: Ids of the organization and its projects, by the API's own word.
    """

    tallies: dict[Stream, _Tally] = field(default_factory=dict)
    told: History | None = None
    names: set[str] = field(default_factory=set)

    def record(self, stream: Stream, at: datetime, day: date, count: int = 1) -> bool:
        """Note ``count`` inferences; return whether they are the first of their stream."""
        tally = self.tallies.get(stream)
        if tally is None:
            self.tallies[stream] = _Tally(at, {day: count})
            return True
        tally.at = max(at, tally.at)
        tally.counts[day] = tally.counts.get(day, 0) + count
        return False

    def merge(self, told: History | None, names: Iterable[str] = ()) -> None:
        """Note what is ``told``, and further names; which organization it names doesn't matter here."""
        if told is not None:
            self.told = told if self.told is None else self.told.merged(told)
        self.names.update(names)

    def take(self, other: Notes) -> None:
        """Note everything that ``other`` holds."""
        for stream, tally in other.tallies.items():
            for day, count in tally.counts.items():
                self.record(stream, tally.at, day, count)
        self.merge(other.told, other.names)

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
                inference=Inference(
                    organization=organization,
                    model=model,
                    at=tally.at,
                    source=source,
                    served=Served(model=served, at=tally.at) if served is not None else None,
                ),
                counts=dict(tally.counts),
            )
            for (model, source, served), tally in self.tallies.items()
        ]

    def added_to(self, history: History) -> History:
        """Return ``history`` with what these notes tell."""
        history = history.recorded(*self.activities(history.organization))
        return history if self.told is None else history.merged(self.told)

    def __bool__(self) -> bool:
        return bool(self.tallies) or self.is_urgent


@dataclass
class Batch:
    """Notes about one subject that are written together.

    Where the store's answer was lost, ``again`` writes their inferences unless the store has them. Nothing
    more is added to the notes then.
    """

    subject: Subject
    notes: Notes
    again: Callable[[str], None] | None = None


class PendingWrites:
    """The notes that wait to be written, by subject, and those that are being written.

    Attributes:
        pending: What waits, and is added to.
        doubtful: What a store may have or not, since its answer was lost.
        writing: What was taken out to be written, and isn't settled yet.
        unkept: How many answers told something that was not kept, for too many subjects wait.
    """

    def __init__(self) -> None:
        self.pending: dict[Subject, Notes] = {}
        self.doubtful: list[Batch] = []
        self.writing: list[Batch] = []
        self.unkept = 0
        self._subject_of: dict[str, Subject] = {}

    def notes_of(self, subject: Subject) -> Notes:
        """Return the notes to add to; where too many wait, those of another key of the organization."""
        notes = self.pending.get(subject)
        if notes is not None:
            return notes
        if len(self.pending) + len(self.doubtful) + len(self.writing) >= MOST_SUBJECTS:
            other = self._subject_of.get(subject.organization) if subject.organization is not None else None
            if other is None:
                self.unkept += 1
                return Notes()  # which nobody keeps
            subject = other
        elif subject.organization is not None:
            self._subject_of[subject.organization] = subject
        return self.pending.setdefault(subject, Notes())

    def about(self, organizations: Collection[str], whose: Collection[Credentials]) -> list[Notes]:
        """Return copies of the notes about organizations, or about credentials without a name."""
        found = []
        batches = [(batch.subject, batch.notes) for batch in (*self.doubtful, *self.writing)]
        for subject, notes in [*self.pending.items(), *batches]:
            unnamed = subject.organization is None and subject.credentials in whose
            if unnamed or subject.organization in organizations:
                copy = Notes()
                copy.take(notes)
                found.append(copy)
        return found

    def take(self, is_due: Callable[[Subject, Stream], bool]) -> list[Batch]:
        """Take out what is to be written now: first what is in doubt."""
        self.writing, self.doubtful = self.doubtful, []
        for subject, notes in list(self.pending.items()):
            streams = {stream for stream in notes.tallies if is_due(subject, stream)}
            if streams or notes.is_urgent:
                self.writing.append(Batch(subject, notes.split(streams)))
            if not notes:
                del self.pending[subject]
        return self.writing

    def settle(self, refused: Iterable[Batch]) -> None:
        """Put back what a store refused; all else that was taken out is written."""
        for batch in refused:
            if batch.again is not None:
                self.doubtful.append(batch)
            else:
                self.pending.setdefault(batch.subject, Notes()).take(batch.notes)
        self.writing = []
        left = (*self.pending, *(batch.subject for batch in self.doubtful))
        self._subject_of = {each.organization: each for each in left if each.organization is not None}

    def __bool__(self) -> bool:
        return bool(self.pending or self.doubtful or self.writing)
