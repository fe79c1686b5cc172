"""Writes batches of facts to a store, at most once a minute per model, with backoff."""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from typing import Protocol

from finetune_guard import process
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import Subject
from finetune_guard.recording.aliases import Aliases
from finetune_guard.recording.pending import MOST_SUBJECTS, Batch, Series
from finetune_guard.stores.base import OutcomeUnknownError, Store

logger = logging.getLogger("finetune_guard")

WRITE_INTERVAL = 60.0
"""Seconds between two writes of the same model."""

_LONGEST_BACKOFF = 60.0


class Watcher(Protocol):
    """Is called when a store starts to refuse writes."""

    def history_failed(self, error: BaseException) -> None:
        """Handle the first refused write; must not raise or block."""
        ...


class BatchWriter:
    """Writes batches to one store, for one thread at a time.

    Attributes:
        failures: How many writes in a row were refused.
        not_before: The monotonic time of the next retry.
        watchers: Called after the first failure in a row.
    """

    def __init__(self, store: Store, aliases: Aliases) -> None:
        self._store = store
        self._aliases = aliases
        self.watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self._written_at: dict[tuple[Subject, Series], float] = {}
        self.reset()

    def reset(self) -> None:
        """Reset the failures in a forked child: they are the parent's."""
        self.failures = 0
        self.not_before = 0.0

    def due_at(self, subject: Subject, series: Series | None) -> float:
        """Return the monotonic time when a model may be written; 0.0, at once, without a model."""
        written_at = self._written_at.get((subject, series)) if series is not None else None
        return written_at + WRITE_INTERVAL if written_at is not None else 0.0

    def write(self, due: list[Batch], dropped: int) -> list[Batch]:
        """Write ``due`` batch by batch; return those the store refused or may have lost."""
        refused: list[Batch] = []
        problems: dict[Subject, BaseException] = {}
        written: set[tuple[Subject, Series]] = set()
        for batch in due:
            # After a failure the subject's other batches wait, so that only one can be uncertain.
            problem = problems.get(batch.subject) or self._write(batch)
            if problem is not None:
                refused.append(batch)
                problems[batch.subject] = problem
            else:
                written |= {(batch.subject, series) for series in batch.facts.tallies}
        now = time.monotonic()
        recent = {key: at for key, at in self._written_at.items() if now - at < WRITE_INTERVAL}
        self._written_at = recent | dict.fromkeys(written, now)
        before, self.failures = self.failures, self.failures + 1 if problems else 0
        backoff = min(_LONGEST_BACKOFF, 2.0 ** min(self.failures, 10)) * process.jitter.uniform(0.5, 1.0)
        self.not_before = now + backoff if problems else 0.0
        with contextlib.suppress(Exception):  # a program's logging can raise anything
            self._log(before, next(reversed(problems.values()), None), dropped)
        return refused

    def _write(self, batch: Batch) -> BaseException | None:
        """Write ``batch``; return the error, if any."""
        facts = batch.facts
        try:
            name = self._aliases.link_subject(batch.subject, sorted(facts.names))
            # Merge first: if a later step fails, facts may be merged twice, but counts must not be.
            if facts.evidence is not None:
                self._store.merge(History(evidence=Evidence(organization=name)).merged(facts.evidence))
            if batch.again is not None:
                batch.again(name)
            else:
                self._store.record(name, facts.activities(name))
            self._aliases.move_if_renamed(name)
        except OutcomeUnknownError as error:
            batch.again = error.again
            return error
        except BaseException as error:  # noqa: BLE001 -- whatever a store does, the thread lives on
            return error
        return None

    def _log(self, failures_before: int, problem: BaseException | None, dropped: int) -> None:
        """Log the first failure, the recovery, and dropped responses."""
        location = self._store.location
        if problem is not None and not failures_before:
            logger.warning(
                "finetune-guard can't write the history at %s; calls go on, and the facts are kept in "
                "memory and tried again: %s",
                location,
                problem,
            )
            for watcher in list(self.watchers):
                watcher.history_failed(problem)
        elif problem is None and failures_before:
            logger.info("finetune-guard writes the history at %s again.", location)
        if dropped:
            logger.warning(
                "finetune-guard dropped the facts from %d responses; calls go on. The facts about %d other "
                "keys are already waiting to be written at %s.",
                dropped,
                MOST_SUBJECTS,
                location,
            )
