"""A ``diskcache.Cache`` that opens without writing, and ignores the settings that are stored in its file.

``diskcache.Cache`` reads its settings from the file and obeys them: they name pragmas to run,
attributes to set (the folder, even) and how to evict. It writes some sixty times on opening, waiting
up to 60 s for each, and closes its parent's connection after a fork, which can corrupt a database.
Here the settings are constants, an existing file is only read on opening, a new one is made in one
transaction, and there is one connection, which belongs to whoever holds the lock around this object.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diskcache

from finetune_guard import process
from finetune_guard.stores.disk.log_files import LogFiles
from finetune_guard.stores.disk.plain_disk import PlainDisk

BUSY_SECONDS = 0.05
"""How long SQLite itself waits for a lock; kept short since the lock around the cache is held meanwhile."""

_SETTINGS: dict[str, Any] = {
    **diskcache.DEFAULT_SETTINGS,
    "eviction_policy": "none",
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 0,
    "size_limit": sys.maxsize,
    "disk_min_file_size": sys.maxsize,
}

_PRAGMAS = (
    "synchronous = NORMAL",  # with a WAL: consistent whatever happens, durable at the next checkpoint
    "mmap_size = 0",  # a mapped file that someone truncates ends the process with SIGBUS
    "cell_size_check = ON",
    "temp_store = MEMORY",  # nothing is written outside the folder
    "journal_size_limit = 1048576",
)


class PlainCache(diskcache.Cache):  # type: ignore[misc]  # its base is untyped
    """A cache of text and plain numbers in ``folder``; it must exist and have been checked."""

    _creating = False

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        # Not diskcache's own constructor: see above. These are all the attributes it would set.
        self._directory = str(folder)
        self._disk = PlainDisk(self._directory)
        for name, value in _SETTINGS.items():
            setattr(self, name, value)
        connection = _connect(folder / diskcache.core.DBNAME, read_only)
        self._connection: sqlite3.Connection | None = connection
        self._log_files = LogFiles(folder / diskcache.core.DBNAME)
        # Also when nobody calls close(). Not when the interpreter ends, since another thread may be in the
        # middle of a statement then: whoever holds the lock around this object closes it.
        self._closing = weakref.finalize(self, _close, connection, self._log_files)
        self._closing.atexit = False
        self.is_changing = False
        """Whether a transaction that writes is under way."""
        try:
            for pragma in _PRAGMAS:
                self._sql(f"PRAGMA {pragma}").close()
        except BaseException:
            self.close()
            raise

    def in_place(self) -> bool:
        """Tell whether the files beside the database are still the ones this connection has open."""
        return self._log_files.unchanged()

    def tables(self) -> frozenset[str]:
        """Return the names of the tables in the file."""
        return frozenset(name for (name,) in self._sql("SELECT name FROM sqlite_master WHERE type = 'table'"))

    def begin_journal(self) -> None:
        """Have the file keep a write-ahead log, so that readers never wait for a writer."""
        ((mode,),) = self._sql("PRAGMA journal_mode").fetchall()
        if mode != "wal":
            self._sql("PRAGMA journal_mode = WAL").fetchall()

    def create(self) -> None:
        """Make diskcache's tables; inside the caller's transaction, so all of them or none."""
        own = dict(vars(self))
        self._creating = True
        try:
            # The folder it is told is one that exists and has no $ or ~, which it would expand.
            super().__init__("/", disk=PlainDisk, **_SETTINGS)
        finally:
            self.__dict__ = own

    def scan(self, start: str) -> Iterator[tuple[str, str | int | float]]:
        """Yield the keys that begin with ``start``, which must be ASCII, and their values, in order."""
        select = (
            "SELECT key, raw, mode, filename, value FROM Cache WHERE key >= ? AND key < ?"
            " AND (expire_time IS NULL OR expire_time > ?) ORDER BY key"
        )
        for key, raw, mode, filename, value in self._sql(select, (start, start + "\x7f", time.time())):
            yield self._disk.get(key, raw), self._disk.fetch(mode, filename, value, read=False)

    def reset(self, key: str, *_value: object, **_update: object) -> object:
        """Return the constant value of a setting; nothing is read from the file, or changed by it."""
        return _SETTINGS.get(key, 0)

    def close(self) -> None:
        """Close the connection, undoing a transaction that was not committed."""
        connection = self._connection
        if self._creating or connection is None:
            return
        self._connection = None
        self._closing.detach()  # it would do nothing any more once the interpreter is ending
        _close(connection, self._log_files)

    def abandon(self) -> sqlite3.Connection | None:
        """Give the connection away unclosed: after a fork, closing it would undo what the parent does."""
        self._closing.detach()
        connection, self._connection = self._connection, None
        return connection

    @contextmanager
    def transaction(self, *, writing: bool) -> Iterator[None]:
        """Let all that is read be of one moment, and all that is written be there at once or not at all."""
        self._con.execute("BEGIN IMMEDIATE" if writing else "BEGIN").close()
        self.is_changing = writing
        try:
            yield
            if writing:
                self._con.execute("COMMIT").close()
        finally:
            self.is_changing = False
            if self._connection is not None and self._connection.in_transaction:
                self._connection.rollback()

    @property
    def _con(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the cache was closed")
        return self._connection

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        return self._con.execute

    @contextmanager
    def _transact(
        self, *_retry: object, **_filename: object
    ) -> Iterator[tuple[Callable[..., sqlite3.Cursor], Callable[[object], None]]]:
        # What writes is inside a transaction() already. The files that rows name are left alone.
        yield self._con.execute, lambda _: None


def _close(connection: sqlite3.Connection, log_files: LogFiles) -> None:
    with process.no_fork():  # SQLite has locks of the whole process, and a child inherits them as they are
        log_files.unchanged()  # closing reads the index, too
        connection.close()


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    # "rw" never creates: the file was made before, with the right mode. A folder that can't be written
    # has no room for SQLite's index of the log; immutable does without, and without locks.
    mode = "ro&immutable=1" if read_only else "rw"
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
