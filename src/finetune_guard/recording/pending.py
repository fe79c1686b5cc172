"""Unwritten facts: inferences, added up by model and source, and other evidence.

Not thread-safe: the owner must hold a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeAlias

from finetune_guard.domain.facts import Activity, Inference, Served, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials, Subject

MOST_SUBJECTS = 10_000
"""The most pending subjects: keys that change with every request must not fill the memory."""


Series: TypeAlias = tuple[str, Source, str | None]
"""The model and source of inferences that are added up, and the model a deployment served."""


def new_facts(**facts: Any) -> History:
    """Return evidence for an organization whose name is not known yet."""
    return History(evidence=Evidence(organization=UNNAMED, **facts))


@dataclass
class _Tally:
    at: datetime
    counts: dict[date, int]


@dataclass
class PendingFacts:
    """All unwritten facts about one subject.

    Attributes:
        evidence: Other evidence, which can be merged twice without harm.
        names: Ids of the organization and its projects, as named by the API.
    """

    tallies: dict[Series, _Tally] = field(default_factory=dict)
    evidence: History | None = None
    names: set[str] = field(default_factory=set)

    def record(self, series: Series, at: datetime, day: date, count: int = 1) -> bool:
        """Add ``count`` inferences; return whether they are the first of their series."""
        tally = self.tallies.get(series)
        if tally is None:
            self.tallies[series] = _Tally(at, {day: count})
            return True
        tally.at = max(at, tally.at)
        tally.counts[day] = tally.counts.get(day, 0) + count
        return False

    def merge(self, facts: History | None, names: Iterable[str] = ()) -> None:
        """Add evidence and names; the organization in ``facts`` is ignored."""
        if facts is not None:
            self.evidence = facts if self.evidence is None else self.evidence.merged(facts)
        self.names.update(names)

    def add(self, other: PendingFacts) -> None:
        """Add all facts of ``other``."""
        for series, tally in other.tallies.items():
            for day, count in tally.counts.items():
                self.record(series, tally.at, day, count)
        self.merge(other.evidence, other.names)

    def split(self, due: Iterable[Series]) -> PendingFacts:
        """Remove the series that are ``due``, the evidence and the names, and return them."""
        taken = PendingFacts({series: self.tallies.pop(series) for series in due}, self.evidence, self.names)
        self.evidence, self.names = None, set()
        return taken

    @property
    def is_urgent(self) -> bool:
        """Whether there is something to write at once."""
        return self.evidence is not None or bool(self.names)

    def activities(self, organization: str) -> list[Activity]:
        """Return the inferences in the form that a store records."""
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
        """Return ``history`` with these facts added."""
        history = history.recorded(*self.activities(history.organization))
        return history if self.evidence is None else history.merged(self.evidence)

    def __bool__(self) -> bool:
        return bool(self.tallies) or self.is_urgent


@dataclass
class Batch:
    """Facts about one subject that are written together.

    If the store's reply was lost, ``again`` writes their inferences unless the store has them. The facts
    don't change any more then.
    """

    subject: Subject
    facts: PendingFacts
    again: Callable[[str], None] | None = None


class PendingWrites:
    """The pending facts by subject, and the batches that are being written.

    Attributes:
        pending: The facts that new facts are added to.
        uncertain: Batches that a store may have or not, since its reply was lost.
        writing: Batches that are being written.
        dropped: How many responses were not recorded, because too many subjects are pending.
    """

    def __init__(self) -> None:
        self.pending: dict[Subject, PendingFacts] = {}
        self.uncertain: list[Batch] = []
        self.writing: list[Batch] = []
        self.dropped = 0
        self._subject_of: dict[str, Subject] = {}

    def facts_of(self, subject: Subject) -> PendingFacts:
        """Return the facts to add to; if too many are pending, those of the organization's other key."""
        facts = self.pending.get(subject)
        if facts is not None:
            return facts
        if len(self.pending) + len(self.uncertain) + len(self.writing) >= MOST_SUBJECTS:
            other = self._subject_of.get(subject.organization) if subject.organization is not None else None
            if other is None:
                self.dropped += 1
                return PendingFacts()  # dropped
            subject = other
        elif subject.organization is not None:
            self._subject_of[subject.organization] = subject
        return self.pending.setdefault(subject, PendingFacts())

    def copies_for(
        self, organizations: Collection[str], credentials: Collection[Credentials]
    ) -> list[PendingFacts]:
        """Return copies of the facts about organizations, or about credentials without a name."""
        copies = []
        batches = [(batch.subject, batch.facts) for batch in (*self.uncertain, *self.writing)]
        for subject, facts in [*self.pending.items(), *batches]:
            unnamed = subject.organization is None and subject.credentials in credentials
            if unnamed or subject.organization in organizations:
                copy = PendingFacts()
                copy.add(facts)
                copies.append(copy)
        return copies

    def take_due(self, is_due: Callable[[Subject, Series], bool]) -> list[Batch]:
        """Remove and return the batches to write now, the uncertain ones first."""
        self.writing, self.uncertain = self.uncertain, []
        for subject, facts in list(self.pending.items()):
            due = {series for series in facts.tallies if is_due(subject, series)}
            if due or facts.is_urgent:
                self.writing.append(Batch(subject, facts.split(due)))
            if not facts:
                del self.pending[subject]
        return self.writing

    def finish_write(self, refused: Iterable[Batch]) -> None:
        """Put back the batches that a store refused; the others are written."""
        for batch in refused:
            if batch.again is not None:
                self.uncertain.append(batch)
            else:
                self.pending.setdefault(batch.subject, PendingFacts()).add(batch.facts)
        self.writing = []
        waiting = (*self.pending, *(batch.subject for batch in self.uncertain))
        self._subject_of = {each.organization: each for each in waiting if each.organization is not None}

    def __bool__(self) -> bool:
        return bool(self.pending or self.uncertain or self.writing)
