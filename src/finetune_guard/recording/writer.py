"""The thread that has notes written to a store, throttled, and keeps what the store refuses."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial

from finetune_guard import process
from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import History
from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.aliases import Aliases
from finetune_guard.recording.batch_writer import BatchWriter
from finetune_guard.recording.notes import Notes, PendingWrites, Subject
from finetune_guard.stores.base import Store

_FORK_TIMEOUT = 1.0
_EXIT_TIMEOUT = 5.0


class Writer:
    """The thread that writes, and what it shares; it outlives its recorder until all is written."""

    def __init__(self, store: Store, aliases: Aliases) -> None:
        self._store = store
        self._aliases = aliases
        self._batches = BatchWriter(store, aliases)
        self.watchers = self._batches.watchers
        self._finishing = False
        self.reset()
        _writers.add(self)

    def reset(self) -> None:
        """Begin anew. After ``fork`` what the parent had noted is the parent's to write."""
        # Re-entrant: a garbage collection inside the lock may finish this very writer.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._pending = PendingWrites()
        self._looks: list[Callable[[Store], object]] = []
        self._thread: threading.Thread | None = None
        self._hurry = False
        self._stopped = False
        self._rounds = 0
        self._batches.reset()

    def record(
        self, subject: Subject, model: str, source: Source, at: datetime, served: str | None = None
    ) -> None:
        """Note one inference; ``served`` is what a deployment's answer named. No I/O happens here."""
        if subject is not self._aliases.last_named:
            self._aliases.name(subject)
        stream, day = (model, source, served), at.date()
        with self._lock:
            notes = self._pending.pending.get(subject)
            tally = notes.tallies.get(stream) if notes is not None else None
            if tally is None or self._thread is None:
                self._pending.notes_of(subject).record(stream, at, day)
                self._wake()
                return
            # As Notes.record does, which would take longer: every inference comes by here.
            if at > tally.at:  # noqa: PLR1730 -- nor max()
                tally.at = at
            tally.counts[day] = tally.counts.get(day, 0) + 1

    def merge(self, subject: Subject, told: History | None, names: Iterable[str]) -> None:
        """Note what was told; no I/O happens here."""
        with self._lock:
            self._pending.notes_of(subject).merge(told, names)
            self._wake()

    def before_writing(self, look: Callable[[Store], object]) -> None:
        """Have the thread call ``look`` before it writes what is noted from now on."""
        with self._lock:
            self._looks.append(look)
            self._wake()

    @property
    def has_unwritten(self) -> bool:
        """Whether something waits to be written, or to be looked at before."""
        return bool(self._pending or self._looks)

    @property
    def is_failing(self) -> bool:
        """Whether the last round was refused."""
        return self._batches.failures > 0

    def unwritten(self, organizations: Collection[str], whose: Collection[Credentials]) -> list[Notes]:
        """Return copies of the notes about organizations, or about credentials without a name."""
        with self._changed:
            return self._pending.about(organizations, whose)

    def rest(self, timeout: float) -> int | None:
        """Wait until no write is under way, at most ``timeout`` seconds; return how many there were.

        Who reads the store and then the notes has missed nothing, and counted nothing twice, if the
        number is the same before and after; but for what the store may have, since its answer was lost.
        It is None when a write is still under way.
        """
        with self._changed:
            resting = self._changed.wait_for(lambda: not self._pending.writing, timeout)
            return self._rounds if resting else None

    def flush(self, timeout: float) -> bool:
        """Write all that is noted by now; return whether that succeeded within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if not self.has_unwritten:
                return True
            tried_after = self._rounds + bool(self._pending.writing or self._looks)
            self._hurry = True
            self._wake()
            while self.has_unwritten:
                if self._thread is None:  # none can be started any more: the interpreter is ending
                    self._round()
                    return not self._pending
                if self._rounds > tried_after:  # what is still pending was refused, or noted since
                    return not self.is_failing
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            self._hurry = False
            return True

    def finish(self) -> None:
        """Let the thread end once all is written: the recorder is gone."""
        with self._changed:
            self._finishing = self._hurry = True
            self._changed.notify_all()

    def end(self, timeout: float) -> None:
        """Write everything and end the thread, at most ``timeout`` seconds long: the interpreter ends.

        A thread that is inside SQLite while the interpreter takes its objects apart crashes the process.
        """
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        if self._stop(max(0.0, deadline - time.monotonic())):
            with contextlib.suppress(Exception):  # a store of the program's own can fail in any way
                self._store.close()

    def rest_before_fork(self) -> None:
        """Write what is pending and end the thread, so that the fork finds none; a store that fails keeps it.

        From Python 3.12 on, a fork beside a running thread makes Python warn.
        """
        is_written = threading.current_thread() is not self._thread and (
            self.is_failing or self.flush(_FORK_TIMEOUT)
        )
        if is_written and not self.has_unwritten:
            self._stop(_FORK_TIMEOUT)

    def _stop(self, timeout: float) -> bool:
        with self._changed:
            self._stopped, thread = True, self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)
        return thread is not None

    def resume(self) -> None:
        """Go on after a fork, in the parent."""
        with self._changed:
            self._stopped = False
            if self.has_unwritten:
                self._wake()

    def _wake(self) -> None:
        if self._thread is None and not self._stopped:
            thread = threading.Thread(target=self._run, name="finetune-guard-recorder", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # what was noted stays, and the next note tries again
            self._thread = thread
            process.finish_in_child(partial(_at_exit, Writer.flush))
        self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while not (self._stopped or (self._finishing and not self.has_unwritten)):
                wait = self._seconds_until_due()
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                else:
                    self._round()
            self._thread = None

    def _round(self) -> None:
        """Write what is due; the lock is held on entry and exit, and not while writing."""
        now = time.monotonic()
        looks = list(self._looks)
        due = self._pending.take(lambda *each: self._hurry or self._batches.due_at(*each) <= now)
        unkept, self._pending.unkept = self._pending.unkept, 0
        self._hurry = False  # whoever is in a hurry from now on means the next round
        self._changed.release()
        try:
            for look in looks:
                with contextlib.suppress(Exception):  # a store can fail in any way
                    look(self._store)
            refused = self._batches.write(due, unkept)
        finally:
            self._changed.acquire()
        del self._looks[: len(looks)]
        self._pending.settle(refused)
        self._rounds += 1
        self._changed.notify_all()

    def _seconds_until_due(self) -> float | None:
        """Seconds until something is due, zero or less when it is; None when there is nothing."""
        now = time.monotonic()
        waits = [
            0.0 if self._hurry or notes.is_urgent else self._batches.due_at(subject, stream) - now
            for subject, notes in self._pending.pending.items()
            for stream in notes.tallies or (None,)
        ]
        if self._pending.doubtful or self._looks:
            waits.append(0.0)
        return max(min(waits), 0.0 if self._hurry else self._batches.not_before - now) if waits else None


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _for_all(work: Callable[[Writer], object]) -> None:
    for writer in list(_writers):
        work(writer)


def _at_exit(work: Callable[[Writer, float], object]) -> None:
    deadline = time.monotonic() + _EXIT_TIMEOUT
    _for_all(lambda writer: work(writer, max(0.0, deadline - time.monotonic())))


process.register(
    process.Rank.RECORDING,
    process.Hooks(
        before_fork=partial(_for_all, Writer.rest_before_fork),
        after_fork_in_parent=partial(_for_all, Writer.resume),
        after_fork_in_child=partial(_for_all, Writer.reset),
        at_exit=partial(_at_exit, Writer.end),
    ),
)
