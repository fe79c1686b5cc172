"""The thread that writes facts to a store, throttled, and retries refused writes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime
from functools import partial
from typing import TypeAlias

from finetune_guard import process
from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import History
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.recording.aliases import Aliases
from finetune_guard.recording.batch_writer import BatchWriter
from finetune_guard.recording.pending import PendingFacts, PendingWrites
from finetune_guard.stores.base import Store

_Inference: TypeAlias = tuple[Subject, str, Source, "str | None", datetime]

_FORK_TIMEOUT = 1.0
_EXIT_TIMEOUT = 5.0


class Writer:
    """The writer thread and its shared state; it outlives its recorder until all is written."""

    def __init__(self, store: Store, aliases: Aliases) -> None:
        self._store = store
        self._aliases = aliases
        self._batches = BatchWriter(store, aliases)
        self.watchers = self._batches.watchers
        self._stops_when_done = False
        self.reset()
        _writers.add(self)

    def reset(self) -> None:
        """Start empty. After ``fork`` the parent writes what it has recorded."""
        # Re-entrant: a garbage collection inside the lock may stop this very writer.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._pending = PendingWrites()
        self._callbacks: list[Callable[[Store], object]] = []
        self._thread: threading.Thread | None = None
        self._flushing = False
        self._stopped = False
        self._write_count = 0
        # The last inference, the counts it was added to, and its day; only while the thread runs.
        self._last: tuple[_Inference, dict[date, int], date] | None = None
        self._batches.reset()

    def record(
        self, subject: Subject, model: str, source: Source, at: datetime, served: str | None = None
    ) -> None:
        """Record one inference; ``served`` is the model in a deployment's response. No I/O."""
        if subject is not self._aliases.last_named:
            self._aliases.record_organization(subject)
        what = subject, model, source, served, at
        with self._lock:
            last = self._last
            if last is not None and last[0] == what:  # another one in the same second
                last[1][last[2]] += 1
                return
            series, day = (model, source, served), at.date()
            facts = self._pending.facts_of(subject)
            if facts.record(series, at, day) or self._thread is None:
                self._wake_thread()
            elif series in facts.tallies:  # unless a signal handler has had it written
                self._last = what, facts.tallies[series].counts, day

    def merge(self, subject: Subject, facts: History | None, names: Iterable[str]) -> None:
        """Record evidence and names. No I/O."""
        with self._lock:
            self._pending.facts_of(subject).merge(facts, names)
            self._wake_thread()

    def before_writing(self, callback: Callable[[Store], object]) -> None:
        """Have the thread call ``callback`` before it writes facts recorded from now on."""
        with self._lock:
            self._callbacks.append(callback)
            self._wake_thread()

    @property
    def has_unwritten(self) -> bool:
        """Whether there are pending facts or callbacks."""
        return bool(self._pending or self._callbacks)

    @property
    def is_failing(self) -> bool:
        """Whether the store refused the last write."""
        return self._batches.failures > 0

    def unwritten(
        self, organizations: Collection[str], credentials: Collection[Credentials]
    ) -> list[PendingFacts]:
        """Return copies of the facts about organizations, or about credentials without a name."""
        with self._changed:
            return self._pending.copies_for(organizations, credentials)

    def wait_until_idle(self, timeout: float) -> int | None:
        """Wait at most ``timeout`` seconds until no write is running; return how many there were so far.

        If the number is the same before and after, a reader of the store and the facts has missed nothing
        and counted nothing twice, except uncertain batches. None if a write is still running.
        """
        with self._changed:
            is_idle = self._changed.wait_for(lambda: not self._pending.writing, timeout)
            return self._write_count if is_idle else None

    def flush(self, timeout: float) -> bool:
        """Write everything pending; return whether that succeeded within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if not self.has_unwritten:
                return True
            last_write = self._write_count + bool(self._pending.writing or self._callbacks)
            self._flushing = True
            self._wake_thread()
            while self.has_unwritten:
                if self._thread is None:  # no thread can start: the interpreter is shutting down
                    self._write_due()
                    return not self._pending
                if self._write_count > last_write:  # the rest was refused, or recorded since
                    return not self.is_failing
                time_left = deadline - time.monotonic()
                if time_left <= 0:
                    return False
                self._changed.wait(time_left)
            self._flushing = False
            return True

    def stop_when_done(self) -> None:
        """Let the thread end when everything is written, after the recorder was deleted."""
        with self._changed:
            self._stops_when_done = self._flushing = True
            self._changed.notify_all()

    def stop(self, timeout: float) -> None:
        """Write everything and end the thread, within ``timeout`` seconds, at interpreter exit.

        A thread inside SQLite during interpreter shutdown would crash the process.
        """
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        if self._join_thread(max(0.0, deadline - time.monotonic())):
            with contextlib.suppress(Exception):  # a program's own store can raise anything
                self._store.close()

    def stop_before_fork(self) -> None:
        """Write what is pending and end the thread before a fork, unless the store fails.

        Since Python 3.12, a fork while a thread runs causes a warning.
        """
        is_written = threading.current_thread() is not self._thread and (
            self.is_failing or self.flush(_FORK_TIMEOUT)
        )
        if is_written and not self.has_unwritten:
            self._join_thread(_FORK_TIMEOUT)

    def _join_thread(self, timeout: float) -> bool:
        with self._changed:
            self._stopped, thread = True, self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)
        return thread is not None

    def resume(self) -> None:
        """Continue in the parent after a fork."""
        with self._changed:
            self._stopped = False
            if self.has_unwritten:
                self._wake_thread()

    def _wake_thread(self) -> None:
        if self._thread is None and not self._stopped:
            thread = threading.Thread(target=self._run, name="finetune-guard-recorder", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the facts stay, and the next one tries again
            self._thread = thread
            process.finish_in_child(partial(_writers.call, Writer.flush, _EXIT_TIMEOUT))
        self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while not (self._stopped or (self._stops_when_done and not self.has_unwritten)):
                wait = self._seconds_until_due()
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                else:
                    self._write_due()
            self._thread = self._last = None

    def _write_due(self) -> None:
        """Write the facts that are due; the lock is held on entry and exit, but not while writing."""
        now = time.monotonic()
        callbacks, self._last = list(self._callbacks), None
        due = self._pending.take_due(lambda *each: self._flushing or self._batches.due_at(*each) <= now)
        dropped, self._pending.dropped = self._pending.dropped, 0
        self._flushing = False  # a flush from now on means the next write
        self._changed.release()
        try:
            for callback in callbacks:
                with contextlib.suppress(Exception):  # a store can raise anything
                    callback(self._store)
            refused = self._batches.write(due, dropped)
        finally:
            self._changed.acquire()
        del self._callbacks[: len(callbacks)]
        self._pending.finish_write(refused)
        self._write_count += 1
        self._changed.notify_all()

    def _seconds_until_due(self) -> float | None:
        """Return the seconds until the next write, at most zero if due; None if nothing is pending."""
        now = time.monotonic()
        waits = [
            0.0 if self._flushing or facts.is_urgent else self._batches.due_at(subject, series) - now
            for subject, facts in self._pending.pending.items()
            for series in facts.tallies or (None,)
        ]
        if self._pending.uncertain or self._callbacks:
            waits.append(0.0)
        return max(min(waits), 0.0 if self._flushing else self._batches.not_before - now) if waits else None


_writers = process.Participants[Writer]()
process.register(
    process.Rank.RECORDING,
    process.Hooks(
        before_fork=partial(_writers.call, Writer.stop_before_fork),
        after_fork_in_parent=partial(_writers.call, Writer.resume),
        after_fork_in_child=partial(_writers.call, Writer.reset),
        at_exit=partial(_writers.call, Writer.stop, _EXIT_TIMEOUT),
    ),
)
