"""Records facts in memory for a store, and reads a history together with unwritten facts.

Recording costs a dictionary lookup. One daemon thread per store writes: a model's first inference at once,
later ones at most once a minute, with their counts added up. Refused writes are kept and retried. Memory is
bounded by the number of models.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager

from finetune_guard import process
from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials, Subject, is_slug
from finetune_guard.recording.aliases import Aliases
from finetune_guard.recording.pending import new_facts
from finetune_guard.recording.writer import Writer
from finetune_guard.stores.base import Store
from finetune_guard.stores.memory import MemoryStore

_MOST_READS = 5
_IDLE_TIMEOUT = 1.0


class Recorder:
    """Records facts for one store, and reads its histories together with unwritten facts.

    Methods that read the store raise a ``StoreError`` if it can't be read; methods that record never raise.

    Attributes:
        record_organization, known_organization, organizations: See ``Aliases``.
        record, flush, before_writing: See ``Writer``.
        add_watcher: Calls a ``Watcher``, which is held weakly, when the store starts to refuse writes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases = MemoryStore()
        self._aliases = Aliases(store)
        self._placeholders: Bounded[Credentials, Credentials] = Bounded()
        self._writer = Writer(store, self._aliases)
        self.record_organization = self._aliases.record_organization
        self.known_organization = self._aliases.known_organization
        self.organizations = self._aliases.organizations
        self.record, self.flush = self._writer.record, self._writer.flush
        self.before_writing, self.add_watcher = self._writer.before_writing, self._writer.watchers.add
        weakref.finalize(self, self._writer.stop_when_done).atexit = False

    @staticmethod
    def for_store(store: Store) -> Recorder:
        """Return the recorder of ``store``: all stores of the same histories share it."""
        with _registry_lock:
            recorder = _recorders.get(store.identity)
            if recorder is None:
                recorder = _recorders[store.identity] = Recorder(store)
            return recorder

    def merge(self, subject: Subject, facts: History | None = None, names: Iterable[str] = ()) -> None:
        """Record ``facts`` about the subject's organization, and more ``names`` the API uses for it."""
        self.record_organization(subject)
        self._writer.merge(subject, facts, names)

    def merge_placeholder(self, placeholder: Credentials, subject: Subject) -> None:
        """Add everything recorded for a placeholder to the subject that replaces it."""
        self._placeholders[subject.credentials] = placeholder
        if subject.organization is not None:
            self.merge(subject._replace(credentials=placeholder), new_facts())

    def organization(self, credentials: Credentials) -> str | None:
        """Return the slug of the organization that the credentials belong to; None if unknown."""
        with self._store_errors():
            names = self._aliases.names_of(credentials)
        return names[-1] if names and is_slug(names[-1]) else None

    def evidence(self, credentials: Credentials) -> Evidence:
        """Return the evidence about the credentials' organization, including unwritten facts.

        Costs one read of the store once the organization's slug is known and stored.
        """
        return self._read(lambda name: History(evidence=self.store.evidence(name)), credentials).evidence

    def unwritten_evidence(self, credentials: Credentials) -> Evidence:
        """Return the unwritten evidence alone, for when the store can't be read."""
        name = self.known_organization(credentials) or UNNAMED
        known = History(evidence=Evidence(organization=name))
        for facts in self._writer.unwritten((name,), (credentials,)):
            known = facts.added_to(known)
        return known.evidence

    def history(self, credentials: Credentials) -> History:
        """Return the history of the credentials' organization, including unwritten facts."""
        for _ in range(_MOST_READS):  # counts add up: a write in between must not count twice
            written = self._writer.wait_until_idle(_IDLE_TIMEOUT)
            history = self._read(self.store.history, credentials)
            if written is not None and written == self._writer.wait_until_idle(0.0):
                break
        return history

    @property
    def has_unwritten(self) -> bool:
        """Whether anything is pending."""
        return self._writer.has_unwritten

    @property
    def is_failing(self) -> bool:
        """Whether the store refused the last write, so that the next may fail as slowly."""
        return self._writer.is_failing

    def _read(self, read: Callable[[str], History], credentials: Credentials) -> History:
        """Return the stored history of the credentials, with unwritten facts added."""
        all_credentials = [credentials]
        if credentials in self._placeholders:
            all_credentials.append(self._placeholders[credentials])
        history = new_facts()
        # Read the facts first: a write in between is then seen twice, never missed.
        organizations_read = [self.known_organization(credentials) or UNNAMED]
        unwritten = self._writer.unwritten(organizations_read, all_credentials)
        with self._store_errors():
            names = self._names_of(all_credentials)
            for _ in range(_MOST_READS):
                if not names:
                    break
                organizations_read.extend(names)
                unwritten = self._writer.unwritten(organizations_read, all_credentials)
                # Read the best name last: facts moved to it in between are then found there.
                *others, history = [read(name) for name in names]
                for other in others:
                    history = history.merged(other)
                is_empty = history.evidence == Evidence(organization=history.organization)
                if not is_empty or not self._aliases.may_have_moved(credentials, names[-1]):
                    break
                before, names = names, self._names_of(all_credentials)
                if names == before:
                    break
        for facts in unwritten:
            history = facts.added_to(history)
        return history

    def _names_of(self, all_credentials: Iterable[Credentials]) -> tuple[str, ...]:
        """Return the possible names of a history, those of the first credentials last."""
        names = [name for each in all_credentials for name in reversed(self._aliases.names_of(each))]
        return tuple(reversed(dict.fromkeys(names)))

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Convert any error of a store, including a user's own store, into a StoreError."""
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
