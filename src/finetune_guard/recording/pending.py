"""What waits to be written and what is being written, within bounds.

No I/O and no clock here. Not thread-safe: whoever holds a backlog guards it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.notes import Notes, Stream, Subject

MOST_SUBJECTS = 10_000
"""How many subjects may wait at once: keys that change with every request must not fill the memory."""


@dataclass
class Batch:
    """Notes that are written together.

    Attributes:
        subject: Whom they are about.
        notes: What is written. Nothing is added once ``again`` is known.
        again: Writes their inferences unless the store has them: an answer of it was lost.
    """

    subject: Subject
    notes: Notes
    again: Callable[[str], None] | None = None


class PendingWrites:
    """Notes by subject.

    Attributes:
        pending: What waits, and is added to.
        unkept: How many answers told something that was not kept, for too many subjects wait.
    """

    def __init__(self) -> None:
        self.pending: dict[Subject, Notes] = {}
        self.unkept = 0
        self._doubtful: list[Batch] = []
        self._writing: list[Batch] = []
        self._subject_of: dict[str, Subject] = {}

    def begin(self, subject: Subject) -> Notes:
        """Return new notes for a subject without any; where too many wait, another's of its organization."""
        if len(self.pending) + len(self._doubtful) + len(self._writing) >= MOST_SUBJECTS:
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
        batches = [(batch.subject, batch.notes) for batch in (*self._doubtful, *self._writing)]
        for subject, notes in [*self.pending.items(), *batches]:
            unnamed = subject.organization is None and subject.credentials in whose
            if unnamed or subject.organization in organizations:
                copy = Notes()
                copy.take(notes)
                found.append(copy)
        return found

    def take(self, is_due: Callable[[Subject, Stream], bool]) -> list[Batch]:
        """Take out what is to be written now: first what is in doubt."""
        self._writing, self._doubtful = self._doubtful, []
        for subject, notes in list(self.pending.items()):
            streams = {stream for stream in notes.tallies if is_due(subject, stream)}
            if streams or notes.is_urgent:
                self._writing.append(Batch(subject, notes.split(streams)))
            if not notes:
                del self.pending[subject]
        return self._writing

    def settle(self, refused: Iterable[Batch]) -> None:
        """Put back what a store refused; all else that was taken out is written."""
        for batch in refused:
            if batch.again is not None:
                self._doubtful.append(batch)
            else:
                self.pending.setdefault(batch.subject, Notes()).take(batch.notes)
        self._writing = []
        left = (*self.pending, *(batch.subject for batch in self._doubtful))
        self._subject_of = {each.organization: each for each in left if each.organization is not None}

    @property
    def is_doubtful(self) -> bool:
        """Whether a store may have some of what waits, since its answer was lost."""
        return bool(self._doubtful)

    @property
    def is_being_written(self) -> bool:
        """Whether something was taken out and not settled yet."""
        return bool(self._writing)

    def __bool__(self) -> bool:
        return bool(self.pending or self._doubtful)
