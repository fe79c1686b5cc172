"""Notes what a store is to remember in memory, and reads a history with what isn't written yet.

A note costs a dictionary look-up. One daemon thread for each store writes: a model's first inference at
once, later ones at most once a minute, their counts adding up meanwhile. What a store refuses is kept and
tried again. Memory is bounded by the number of models.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager

from finetune_guard import process
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials, is_slug
from finetune_guard.recording.aliases import Aliases
from finetune_guard.recording.notes import Subject, told
from finetune_guard.recording.writer import Writer
from finetune_guard.stores.base import Store
from finetune_guard.stores.memory import MemoryStore

_MOST_READS = 5
_MOST_ADOPTED = 1_000
_REST_TIMEOUT = 1.0


class Recorder:
    """Notes what one store is to remember, and reads it together with what isn't written yet.

    What reads the store raises a ``StoreError`` where that can't be read; what notes something never fails.

    Attributes:
        name, answered, organizations: See ``Aliases``.
        record, flush, before_writing: See ``Writer``.
        watch: Has a ``Watcher``, as long as it is there, told when the store begins to refuse writes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases = MemoryStore()
        self._aliases = Aliases(store)
        self._adopted: dict[Credentials, Credentials] = {}
        self._writer = Writer(store, self._aliases)
        self.name, self.answered = self._aliases.name, self._aliases.answered
        self.organizations = self._aliases.organizations
        self.record, self.flush = self._writer.record, self._writer.flush
        self.before_writing, self.watch = self._writer.before_writing, self._writer.watchers.add
        weakref.finalize(self, self._writer.finish).atexit = False

    @staticmethod
    def of(store: Store) -> Recorder:
        """Return the recorder of ``store``: one for a place, however many clients use it."""
        with _registry_lock:
            recorder = _recorders.get(store.place)
            if recorder is None:
                recorder = _recorders[store.place] = Recorder(store)
            return recorder

    def merge(self, subject: Subject, told: History | None = None, names: Iterable[str] = ()) -> None:
        """Note what is ``told`` of the subject's organization, and further ``names`` the API has for it."""
        self.name(subject)
        self._writer.merge(subject, told, names)

    def adopt(self, placeholder: Credentials, subject: Subject) -> None:
        """Let what was recorded for a placeholder count for the subject that it turned out to stand for."""
        if len(self._adopted) >= _MOST_ADOPTED:
            self._adopted.clear()
        self._adopted[subject.credentials] = placeholder
        if subject.organization is not None:
            self.merge(subject._replace(credentials=placeholder), told())

    def organization(self, credentials: Credentials) -> str | None:
        """Return the slug of the organization that the credentials belong to; None if it isn't known."""
        with self._store_errors():
            names = self._aliases.names_of(credentials)
        return names[-1] if names and is_slug(names[-1]) else None

    def evidence(self, credentials: Credentials) -> Evidence:
        """Return the evidence about the credentials' organization, what isn't written yet included.

        It costs one read of the store once the organization's slug is known and stored.
        """
        return self._read(lambda name: History(evidence=self.store.evidence(name)), credentials).evidence

    def unwritten_evidence(self, credentials: Credentials) -> Evidence:
        """Return what is known without the store: for when it can't be read."""
        name = self.answered(credentials) or UNNAMED
        known = History(evidence=Evidence(organization=name))
        for notes in self._writer.unwritten((name,), (credentials,)):
            known = notes.added_to(known)
        return known.evidence

    def history(self, credentials: Credentials) -> History:
        """Return the history of the credentials' organization, what isn't written yet included."""
        for _ in range(_MOST_READS):  # counts add up: what is written in between must not be seen twice
            written = self._writer.rest(_REST_TIMEOUT)
            history = self._read(self.store.history, credentials)
            if written is not None and written == self._writer.rest(0.0):
                break
        return history

    @property
    def has_unwritten(self) -> bool:
        """Whether something waits to be written."""
        return self._writer.has_unwritten

    @property
    def is_failing(self) -> bool:
        """Whether the store refused the last write, so that another may take as long and be refused too."""
        return self._writer.is_failing

    def _read(self, read: Callable[[str], History], credentials: Credentials) -> History:
        """Return what is kept for the credentials, and what isn't written yet."""
        whose = [credentials]
        if credentials in self._adopted:
            whose.append(self._adopted[credentials])
        found = told()
        # The notes always come first: what is written in between is then seen twice, not never.
        tried = [self.answered(credentials) or UNNAMED]
        unwritten = self._writer.unwritten(tried, whose)
        with self._store_errors():
            names = self._names_of(whose)
            for _ in range(_MOST_READS):
                if not names:
                    break
                tried.extend(names)
                unwritten = self._writer.unwritten(tried, whose)
                # The best name comes last: what is moved to it in between is then found there.
                *others, found = [read(name) for name in names]
                for other in others:
                    found = found.merged(other)
                is_empty = found.evidence == Evidence(organization=found.organization)
                if not is_empty or not self._aliases.may_have_moved(credentials, names[-1]):
                    break
                before, names = names, self._names_of(whose)
                if names == before:
                    break
        for notes in unwritten:
            found = notes.added_to(found)
        return found

    def _names_of(self, whose: Iterable[Credentials]) -> tuple[str, ...]:
        """Return the names that a history may be kept under, those of the first credentials last."""
        names = [name for each in whose for name in reversed(self._aliases.names_of(each))]
        return tuple(reversed(dict.fromkeys(names)))

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Let whatever goes wrong in a store end as a StoreError, also in a user's own."""
        try:
            yield
        except StoreError:
            raise
        except Exception as exc:
            raise StoreError(
                f"The history at {self.store.location} can't be read: {type(exc).__name__}.",
                remedy="Look at the error that this one is chained to.",
            ) from exc


_registry_lock = process.ForkLock()
_recorders: weakref.WeakValueDictionary[Hashable, Recorder] = weakref.WeakValueDictionary()
