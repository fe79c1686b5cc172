"""Recording that never stands in a caller's way.

What is to be remembered is noted in memory, which costs a dictionary look-up, and written by one
daemon thread for each store: a model's first inference at once, later ones at most once a minute,
their counts adding up meanwhile. What a store refuses is kept and tried again. Memory is bounded by
the number of models.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import TypeVar

from finetune_guard.errors import StoreError
from finetune_guard.history import Evidence, History, Source
from finetune_guard.identity import UNNAMED, Credentials
from finetune_guard.recording.notes import Stream, Subject
from finetune_guard.recording.writer import Writer
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.stores.store import Store

_T = TypeVar("_T")

_MOST_NAMES = 1_000
_MOST_READS = 5
_REST_TIMEOUT = 1.0


class Recorder:
    """Notes what one store is to remember, and reads it together with what isn't written yet."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases = MemoryStore()
        self._names: dict[Credentials, str] = {}
        self._writer = Writer(store)
        weakref.finalize(self, self._writer.finish).atexit = False

    @staticmethod
    def of(store: Store) -> Recorder:
        """Return the recorder of ``store``: one for a place, however many clients use it."""
        with _registry_lock:
            recorder = _recorders.get(store.place)
            if recorder is None:
                recorder = _recorders[store.place] = Recorder(store)
            return recorder

    def note(self, subject: Subject, model: str, source: Source, at: datetime) -> None:
        """Note one inference. Costs no I/O and can't fail for a store's sake."""
        self.name(subject)
        self._writer.note(subject, Stream(model, source), at)

    def learn(self, subject: Subject, evidence: Evidence) -> None:
        """Note evidence about the subject's organization."""
        self._writer.learn(subject, evidence)

    def name(self, subject: Subject) -> None:
        """Remember in this process which organization the credentials belong to."""
        if subject.organization is not None:
            self._name(subject.credentials, subject.organization)

    def organization(self, credentials: Credentials) -> str | None:
        """Return the slug of the organization that the credentials belong to; None if it isn't known.

        Raises:
            StoreError: The store can't be read.
        """
        known = self._names.get(credentials)
        if known is None:
            salt = self._salt()
            known = (
                self._ask(self.store.organization_of, credentials.alias(salt)) if salt is not None else None
            )
            if known is not None:
                self._name(credentials, known)
        return known

    def evidence(self, credentials: Credentials) -> Evidence:
        """Return the evidence about the credentials' organization, what isn't written yet included.

        Raises:
            StoreError: The store can't be read.
        """
        # The notes first: what is written in between is then seen twice, which changes nothing, not never.
        unwritten = self._writer.unwritten(self.organization(credentials), credentials)
        salt = self._salt()
        unnamed = self._ask(self.store.evidence, credentials.alias(salt)) if salt is not None else None
        evidence = self._read(self.store.evidence, credentials)
        if unnamed is not None:  # kept before the name was known, and not yet linked to it
            evidence = evidence.merged(unnamed)
        for notes in unwritten:
            evidence = notes.added_to(evidence)
        return evidence

    def unwritten_evidence(self, credentials: Credentials) -> Evidence:
        """Return what is known without the store: for when it can't be read."""
        name = self._names.get(credentials)
        evidence = Evidence(organization=name or UNNAMED)
        for notes in self._writer.unwritten(name, credentials):
            evidence = notes.added_to(evidence)
        return evidence

    def history(self, credentials: Credentials) -> History:
        """Return the history of the credentials' organization, what isn't written yet included.

        Raises:
            StoreError: The store can't be read.
        """
        for _ in range(_MOST_READS):  # counts add up: what is written in between must not be seen twice
            written = self._writer.rest(_REST_TIMEOUT)
            history = self._read(self.store.history, credentials)
            unwritten = self._writer.unwritten(self.organization(credentials), credentials)
            if written is not None and written == self._writer.rest(0.0):
                break
        for notes in unwritten:
            history = notes.added_to_history(history)
        return history

    @property
    def has_unwritten(self) -> bool:
        """Whether something waits to be written."""
        return self._writer.has_unwritten

    def flush(self, timeout: float) -> bool:
        """Write everything now; return whether that succeeded within ``timeout`` seconds."""
        return self._writer.flush(timeout)

    def _read(self, read: Callable[[str], _T], credentials: Credentials) -> _T:
        """Read what is kept for the credentials; once more when it got another name meanwhile."""
        for _ in range(_MOST_READS):
            name = self._history_name(credentials)
            found = self._ask(read, name)
            if name == self._history_name(credentials):
                break
        return found

    def _salt(self) -> bytes | None:
        return self._ask(lambda _: self.store.salt(create=False), "")

    def _ask(self, read: Callable[[str], _T], name: str) -> _T:
        """Read from the store; whatever goes wrong in it ends as a StoreError, also in a user's own."""
        try:
            return read(name)
        except StoreError:
            raise
        except Exception as exc:
            raise StoreError(
                f"The history at {self.store.location} can't be read: {type(exc).__name__}.",
                remedy="Look at the error that this one is chained to.",
            ) from exc

    def _history_name(self, credentials: Credentials) -> str:
        slug = self.organization(credentials)
        if slug is not None:
            return slug
        salt = self._salt()
        return credentials.alias(salt) if salt is not None else UNNAMED

    def _name(self, credentials: Credentials, organization: str) -> None:
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names[credentials] = organization


_registry_lock = threading.Lock()
_recorders: weakref.WeakValueDictionary[Hashable, Recorder] = weakref.WeakValueDictionary()


def _remake_lock() -> None:
    global _registry_lock  # noqa: PLW0603 -- another thread of the parent may have held it
    _registry_lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_remake_lock)
