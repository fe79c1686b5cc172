"""The one connection of a process to the database in a folder: opened, reopened and recovered."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from finetune_guard import process
from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.contention import BusyError, repeated
from finetune_guard.stores.disk import faults, folder
from finetune_guard.stores.disk.set_aside import set_aside
from finetune_guard.stores.errors import store_error
from finetune_guard.stores.keys import key
from finetune_guard.stores.schema import SCHEMA_VERSION, check_schema

if TYPE_CHECKING:
    from finetune_guard.stores.disk.plain_cache import PlainCache

_T = TypeVar("_T")
_SCHEMA = key("schema")
_FORK_SECONDS = 5.0  # only a disk that stands still takes that long, and a child would be stuck for ever
_EXIT_SECONDS = 1.0


class Database:
    """The database in a folder: opened when it is needed, anew when it was replaced under us."""

    def __init__(self, path: Path) -> None:
        self._folder = path
        self._lock = threading.RLock()
        self._cache: PlainCache | None = None
        self._file: tuple[int, int] | None = None
        self._size = 0
        self._read_only = False
        self._user: int | None = None

    def read(self, doing: str, work: Callable[[PlainCache | None], _T], patience: timedelta) -> _T:
        """Return what ``work`` finds; it is given None where no database is yet, and none is made."""

        def once(database: Database) -> _T:
            with database._transaction(writing=False) as cache:
                return work(cache)

        return self._attempt(doing, once, patience)

    def write(self, doing: str, work: Callable[[PlainCache], _T], patience: timedelta) -> _T:
        """Return what ``work`` returns; what it changes is changed at once or, on an error, not at all."""

        def once(database: Database) -> _T:
            with database._transaction(writing=True) as cache:
                assert cache is not None
                return work(cache)

        return self._attempt(doing, once, patience)

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[PlainCache | None]:
        with self._lock:
            self._user = threading.get_ident()
            try:
                cache = self._opened(writing=writing)
                if cache is None:
                    yield None
                    return
                if writing:
                    cache.begin_journal()
                with cache.transaction(writing=writing):
                    yield cache
            finally:
                self._user = None
                if self._read_only:  # it doesn't see what changes
                    self._drop()

    def _is_interrupted(self) -> bool:
        """Whether this thread is in the middle of using the connection: then a signal handler is asking."""
        return self._user == threading.get_ident()

    def close(self) -> None:
        """Let go of the files; the next call opens them again."""
        if self._is_interrupted():
            return
        with self._lock:
            self._drop()

    def _attempt(self, doing: str, once: Callable[[Database], _T], patience: timedelta) -> _T:
        if self._is_interrupted():  # the handler gets a connection of its own
            with closing(Database(self._folder)) as other:
                return other._attempt(doing, once, patience)  # noqa: SLF001 (its own)
        if not _no_fork_waits.is_set():  # a signal handler that interrupted wait() could not call it
            _no_fork_waits.wait(_FORK_SECONDS)  # while a thread waits to fork, nothing new begins
        try:
            # The lock is free between two attempts, so other threads read meanwhile.
            return repeated(lambda: self._recovering(once), faults.is_contended, patience, longest_pause=0.25)
        except StoreError:
            raise
        except Exception as exc:
            what = f"Could not {doing} in {str(self._folder)!r}: {faults.summary(exc)}."
            raise store_error(what, faults.remedy(exc)) from exc

    def _recovering(self, once: Callable[[Database], _T]) -> _T:
        try:
            return self._dropping(once)
        except sqlite3.Error as exc:
            if faults.is_contended(exc):
                raise
            was_damaged = faults.is_damaged(exc)
        # It may have been the connection alone, to a file that was replaced or cut under it.
        try:
            return self._dropping(once)
        except sqlite3.DatabaseError as exc:
            is_damaged = faults.is_damaged(exc)
            if self._read_only or not (is_damaged or was_damaged):
                raise
            if is_damaged:  # else another process is just setting it aside
                set_aside(self._folder, exc)
        return self._dropping(once)

    def _dropping(self, once: Callable[[Database], _T]) -> _T:
        try:
            return once(self)
        except sqlite3.Error as exc:
            if faults.is_contended(exc):
                raise
            self.close()
            if self._was_replaced():
                raise BusyError("another process has just replaced the database") from exc
            raise

    def _was_replaced(self) -> bool:
        """Whether the file is no longer the one that was found there."""
        try:
            found = (self._folder / folder.DATABASE).stat()
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != self._file

    def _opened(self, *, writing: bool) -> PlainCache | None:
        path = self._folder / folder.DATABASE
        try:
            found = path.stat()
        except NotADirectoryError:
            folder.check(self._folder)
            raise
        except FileNotFoundError:
            self._drop()
            if not writing:
                if self._folder.exists():  # one that is refused is none that is empty
                    folder.check(self._folder)
                return None
            folder.make(self._folder)
            folder.check(self._folder)
            folder.make_database(self._folder)
            found = path.stat()
        identity = found.st_dev, found.st_ino
        is_same = identity == self._file and found.st_size >= self._size
        if not is_same or (self._cache is not None and not self._cache.in_place()):
            self._drop()
        self._file, self._size = identity, found.st_size
        if self._cache is None:
            self._cache = self._open(writing=writing)
        return self._cache

    def _open(self, *, writing: bool) -> PlainCache | None:
        folder.check(self._folder)
        self._read_only = False
        try:
            return self._connect(writing=writing)
        except sqlite3.OperationalError as exc:
            log = self._folder / f"{folder.DATABASE}-wal"
            if writing or faults.is_contended(exc) or (log.exists() and log.stat().st_size):
                raise
        # A read-only folder and a full disk have no room for the index of SQLite's log. Without a log
        # there is nothing to index, and the file can be read as it is.
        self._read_only = True
        return self._connect(writing=False)

    def _connect(self, *, writing: bool) -> PlainCache | None:
        with process.no_fork():
            from finetune_guard.stores.disk.plain_cache import PlainCache  # noqa: PLC0415 (diskcache: 20 ms)

        cache = PlainCache(self._folder, read_only=self._read_only)
        try:
            tables = cache.tables()
            if not tables and not writing:
                cache.close()
                return None
            if not tables:
                cache.begin_journal()
                with cache.transaction(writing=True):
                    if not cache.tables():  # else another process was faster
                        cache.create()
                        cache.set(_SCHEMA, SCHEMA_VERSION)
            version = cache.get(_SCHEMA) if {"Cache", "Settings"} <= cache.tables() else None
            where = f"in {str(self._folder)!r}"
            check_schema(version, where, "set FINETUNE_GUARD_STORE to a folder of its own")
        except BaseException:
            cache.close()
            raise
        return cache

    def _drop(self) -> None:
        cache, self._cache = self._cache, None
        if cache is not None:
            self._size = 0
            cache.close()

    def close_at_exit(self) -> None:
        """Let go of the files, unless a thread is at work on them: nothing is pulled from under it."""
        if self._lock.acquire(timeout=_EXIT_SECONDS):
            try:
                self._drop()
            finally:
                self._lock.release()

    def before_fork(self) -> bool:
        """Keep everyone out, the connection closed, as no child may inherit one; tell whether it worked."""
        if not self._lock.acquire(timeout=_FORK_SECONDS):
            return False
        if self._cache is not None and not self._cache.is_changing:
            self._drop()
        return True

    def after_fork(self) -> None:
        """Let everyone in again, in the parent."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start anew, in the child."""
        self._lock = threading.RLock()
        self._user = None
        if self._cache is not None:
            _inherited.append(self._cache.abandon())
            self._cache = None
        self._file, self._size = None, 0


_databases: weakref.WeakValueDictionary[str, Database] = weakref.WeakValueDictionary()
_lock = threading.RLock()
_held = threading.local()


_no_fork_waits = threading.Event()
_no_fork_waits.set()
# Connections that a child inherited although they were in use: kept, since closing one in the child
# would roll back, in the file they share, what the parent is writing.
_inherited: list[object] = []


def database_in(location: str) -> Database:
    """Return the database in the folder ``location``, the same one for every name of that folder."""
    try:
        path = folder.without_links(Path(location))
    except (OSError, RuntimeError, ValueError) as exc:
        what = f"{location!r} can't be the folder of a history: {faults.summary(exc)}."
        raise store_error(what, faults.remedy(exc)) from exc
    with _lock:
        return _databases.setdefault(str(path), Database(path))


def _close_at_exit() -> None:
    for database in tuple(_databases.values()):
        database.close_at_exit()


def _before_fork() -> None:
    _no_fork_waits.clear()
    _held.databases = [database for database in tuple(_databases.values()) if database.before_fork()]


def _after_fork() -> None:
    for database in _held.__dict__.pop("databases", ()):
        database.after_fork()
    _no_fork_waits.set()


def _after_fork_in_child() -> None:
    global _lock, _no_fork_waits
    _lock, _no_fork_waits = threading.RLock(), threading.Event()
    _no_fork_waits.set()
    _held.__dict__.clear()
    for database in tuple(_databases.values()):
        database.after_fork_in_child()


process.register(
    process.Rank.STORES,
    process.Hooks(
        before_fork=_before_fork,
        after_fork_in_parent=_after_fork,
        after_fork_in_child=_after_fork_in_child,
        at_exit=_close_at_exit,
    ),
)
