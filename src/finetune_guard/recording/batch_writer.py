"""Writes batches of notes to a store, and tells when a model may be written again."""

from __future__ import annotations

import contextlib
import logging
import random
import time
import weakref
from typing import Protocol

from finetune_guard.domain.history import Evidence, History
from finetune_guard.recording.aliases import Aliases
from finetune_guard.recording.notes import MOST_SUBJECTS, Batch, Stream, Subject
from finetune_guard.stores.base import OutcomeUnknownError, Store

logger = logging.getLogger("finetune_guard")

WRITE_INTERVAL = 60.0
"""Seconds between two writes of the same model."""

_LONGEST_BACKOFF = 60.0

# Of its own, since a program that has seeded the shared one counts on its order.
_jitter = random.Random()  # noqa: S311 -- no secret


class Watcher(Protocol):
    """Who is told when a store begins to refuse what is written."""

    def history_failed(self, error: BaseException) -> None:
        """Learn that nothing can be written, and why. It must not fail or wait."""
        ...


class BatchWriter:
    """Writes batches to one store, for one thread at a time.

    Attributes:
        failures: How many rounds in a row were refused.
        not_before: The monotonic time before which no failed write is tried again.
        watchers: Who is told of the first of several failures.
    """

    def __init__(self, store: Store, aliases: Aliases) -> None:
        self._store = store
        self._aliases = aliases
        self.watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self._written_at: dict[tuple[Subject, Stream], float] = {}
        self.reset()

    def reset(self) -> None:
        """Begin anew in a child: what the parent failed to write is the parent's."""
        self.failures = 0
        self.not_before = 0.0

    def due_at(self, subject: Subject, stream: Stream | None) -> float:
        """Return the monotonic time from which on a model may be written; without a model that is at once."""
        written_at = self._written_at.get((subject, stream)) if stream is not None else None
        return written_at + WRITE_INTERVAL if written_at is not None else 0.0

    def write(self, due: list[Batch], unkept: int) -> list[Batch]:
        """Write ``due`` batch by batch; return what the store refused, or may not have."""
        refused: list[Batch] = []
        problems: dict[Subject, BaseException] = {}
        written: set[tuple[Subject, Stream]] = set()
        for batch in due:
            # After one that failed the subject's next waits: else there could be ever more in doubt.
            problem = problems.get(batch.subject) or self._write(batch)
            if problem is not None:
                refused.append(batch)
                problems[batch.subject] = problem
            else:
                written |= {(batch.subject, stream) for stream in batch.notes.tallies}
        now = time.monotonic()
        recent = {key: at for key, at in self._written_at.items() if now - at < WRITE_INTERVAL}
        self._written_at = recent | dict.fromkeys(written, now)
        before, self.failures = self.failures, self.failures + 1 if problems else 0
        backoff = min(_LONGEST_BACKOFF, 2.0 ** min(self.failures, 10)) * _jitter.uniform(0.5, 1.0)
        self.not_before = now + backoff if problems else 0.0
        with contextlib.suppress(Exception):  # a program's own logging can fail in any way
            self._log(before, next(reversed(problems.values()), None), unkept)
        return refused

    def _write(self, batch: Batch) -> BaseException | None:
        """Write ``batch``; return what it failed with."""
        notes = batch.notes
        try:
            name = self._aliases.write(batch.subject, sorted(notes.names))
            # What is merged comes first: it may be written twice if what follows fails, counts must not be.
            if notes.told is not None:
                self._store.merge(History(evidence=Evidence(organization=name)).merged(notes.told))
            if batch.again is not None:
                batch.again(name)
            else:
                self._store.record(name, notes.activities(name))
            self._aliases.collect(name)
        except OutcomeUnknownError as error:
            batch.again = error.again
            return error
        except BaseException as error:  # noqa: BLE001 -- whatever a store does, the thread lives on
            return error
        return None

    def _log(self, failures_before: int, problem: BaseException | None, unkept: int) -> None:
        """Log the first failure, the recovery, and what was not kept."""
        location = self._store.location
        if problem is not None and not failures_before:
            logger.warning(
                "finetune-guard can't write the history at %s; calls go on, and what was seen is kept in "
                "memory and tried again: %s",
                location,
                problem,
            )
            for watcher in list(self.watchers):
                watcher.history_failed(problem)
        elif problem is None and failures_before:
            logger.info("finetune-guard writes the history at %s again.", location)
        if unkept:
            logger.warning(
                "finetune-guard did not keep what %d answers told; calls go on. What is known of %d other "
                "keys waits to be written at %s already.",
                unkept,
                MOST_SUBJECTS,
                location,
            )
