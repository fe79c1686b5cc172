"""Transactions on the database in a folder, each with a connection of its own.

So none is left when the file is replaced, the process forks or the interpreter ends. One that stays open
would also map the index of SQLite's log into memory, and whoever cuts that file ends the process by SIGBUS.
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
"""The key of the row that says which form all others have."""

_T = TypeVar("_T")
_BUSY_SECONDS = 0.05  # how long SQLite itself waits for a lock, while this process waits for our own
_SETTINGS = """
    PRAGMA synchronous = NORMAL;  -- with a log, the file is consistent whatever happens
    PRAGMA mmap_size = 0;         -- a mapped file that someone cuts ends the process by SIGBUS
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;   -- nothing is written outside the folder
"""
_turns: weakref.WeakValueDictionary[str, process.ForkLock] = weakref.WeakValueDictionary()
_open: set[sqlite3.Connection] = set()
# Connections that a child inherited in the middle of a transaction: kept, since closing one in the child
# would undo, in the file they share, what the parent is writing.
_inherited: list[sqlite3.Connection] = []


def transact(location: str, work: Callable[[PlainCache | None], _T], *, writing: bool) -> _T:
    """Return what ``work`` makes of the database in the folder ``location``, within one transaction.

    A damaged database is set aside first. Where there is none, ``work`` gets None unless it writes.
    """
    # SQLite would make threads wait as well, each for longer and longer. A fork waits for them all.
    with _turns.setdefault(location, process.ForkLock()):
        try:
            return _once(location, work, writing=writing)
        except sqlite3.DatabaseError as exc:
            folder = checked_folder(location, make=False)
            if folder is None or not faults.is_damaged(exc):
                raise
            with contextlib.suppress(OSError):  # of a folder that can't be written: it is damaged still
                faults.set_aside(folder, exc)
        return _once(location, work, writing=writing)


def _once(location: str, work: Callable[[PlainCache | None], _T], *, writing: bool) -> _T:
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
        found = (folder / DATABASE).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


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
    # A read-only folder and a full disk have no room for the index of SQLite's log. Without a log
    # there is nothing to index, and the file can be read as it is, without locks.
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
    # "rw" never creates: the file was made before, with the right mode.
    uri = f"{(folder / DATABASE).as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    _open.add(connection)
    try:
        connection.executescript(_SETTINGS)
        yield PlainCache(connection)
    finally:
        if connection in _open:  # else this is a child that was forked in between
            _open.remove(connection)
            connection.close()


def _keep_inherited() -> None:
    _inherited.extend(_open)
    _open.clear()


process.register(process.Rank.STORES, process.Hooks(after_fork_in_child=_keep_inherited))
