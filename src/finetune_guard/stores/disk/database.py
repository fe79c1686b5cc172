"""Transactions on the database in a folder, each with its own connection.

So no connection is open when the file is replaced, the process forks or the interpreter exits. An open one
would also map the index of SQLite's log into memory, and truncating that file kills the process by SIGBUS.
"""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from finetune_guard import process
from finetune_guard.stores.codec import SCHEMA_VERSION
from finetune_guard.stores.contention import BusyError
from finetune_guard.stores.disk import faults
from finetune_guard.stores.disk.folder import DATABASE, checked_folder
from finetune_guard.stores.disk.plain_cache import PlainCache
from finetune_guard.stores.keys import key

SCHEMA = key("schema")
"""The key of the row with the schema version."""

_T = TypeVar("_T")
_BUSY_SECONDS = 0.05  # how long SQLite waits for a lock of another process
_SETTINGS = """
    PRAGMA synchronous = NORMAL;  -- with a log, the file is consistent whatever happens
    PRAGMA mmap_size = 0;         -- truncating a mapped file kills the process by SIGBUS
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;   -- nothing is written outside the folder
"""
_locks: weakref.WeakValueDictionary[str, process.ForkLock] = weakref.WeakValueDictionary()
_open: set[sqlite3.Connection] = set()
# Connections that a forked child inherited during a transaction: never closed, since that would roll back
# the parent's writes in the shared file.
_inherited: list[sqlite3.Connection] = []


def transact(location: str, work: Callable[[PlainCache | None], _T], *, writing: bool) -> _T:
    """Run ``work`` on the database in the folder ``location``, in one transaction; return its result.

    A damaged database is moved aside first. If there is no database, a read gets None.
    """
    # Our own lock is fairer to threads than SQLite's, and a fork waits for it.
    with _locks.setdefault(location, process.ForkLock()):
        try:
            return _transact_once(location, work, writing=writing)
        except sqlite3.DatabaseError as exc:
            folder = checked_folder(location, make=False)
            if folder is None or not faults.is_damaged(exc):
                raise
            with contextlib.suppress(OSError):  # the folder can't be written: the next attempt fails again
                faults.set_aside(folder, exc)
        return _transact_once(location, work, writing=writing)


def _transact_once(location: str, work: Callable[[PlainCache | None], _T], *, writing: bool) -> _T:
    folder = checked_folder(location, make=writing)
    if folder is None:
        return work(None)
    before = _identity(folder)
    try:
        return _change(folder, work) if writing else _read(folder, work)
    except sqlite3.DatabaseError as exc:
        if before is None or _identity(folder) != before:
            raise BusyError("another process has just replaced the database") from exc
        raise


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / DATABASE).stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _read(folder: Path, work: Callable[[PlainCache | None], _T]) -> _T:
    def read(mode: str) -> _T:
        with _opened(folder, mode) as cache, cache.transaction("BEGIN"):
            return work(None if cache.is_empty() else cache)

    try:
        return read("rw")
    except sqlite3.OperationalError as exc:
        log = folder / f"{DATABASE}-wal"
        if faults.is_contended(exc) or (log.exists() and log.stat().st_size):
            raise
    # In a read-only folder or on a full disk, SQLite can't create the index of its log. Without a log, the
    # file can be read as it is, without locks.
    return read("ro&immutable=1")


def _change(folder: Path, work: Callable[[PlainCache | None], _T]) -> _T:
    with _opened(folder, "rw") as cache:
        if cache.is_empty():
            cache.begin_journal()
        with cache.transaction("BEGIN IMMEDIATE"):
            if cache.is_empty():  # else another process was faster
                cache.create()
                cache.set(SCHEMA, SCHEMA_VERSION)
            return work(cache)


@contextmanager
def _opened(folder: Path, mode: str) -> Iterator[PlainCache]:
    # "rw" never creates: the file exists, with the right mode.
    uri = f"{(folder / DATABASE).as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    _open.add(connection)
    try:
        connection.executescript(_SETTINGS)
        yield PlainCache(connection)
    finally:
        if connection in _open:  # else this is a child, forked meanwhile
            _open.remove(connection)
            connection.close()


def _keep_inherited() -> None:
    _inherited.extend(_open)
    _open.clear()


process.register(process.Rank.STORES, process.Hooks(after_fork_in_child=_keep_inherited))
