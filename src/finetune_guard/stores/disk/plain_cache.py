"""A ``diskcache.Cache`` of strings and numbers that ignores all settings in its file.

``diskcache.Cache`` applies the settings in its file: pragmas, attributes and eviction. ``diskcache.Disk``
unpickles values of mode 4 and keys that aren't raw, and opens and deletes files named in rows. Anyone who can
write to the folder controls them (CVE-2025-69872). Here the settings are constants, and all other kinds of
rows are refused.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import diskcache

from finetune_guard.stores.disk.faults import ForeignRowError

_SETTINGS: dict[str, Any] = {
    **diskcache.DEFAULT_SETTINGS,
    "eviction_policy": "none",
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 0,
    "size_limit": sys.maxsize,
    "disk_min_file_size": sys.maxsize,
}
_SELECT = (
    "SELECT key, raw, mode, filename, value FROM Cache WHERE (expire_time IS NULL OR expire_time > ?) AND "
)
_MOST_AT_ONCE = 500  # older releases of SQLite take 999 variables


class PlainDisk(diskcache.Disk):  # type: ignore[misc]  # its base is untyped
    """A ``diskcache.Disk`` that never pickles, unpickles, or touches a file."""

    def put(self, key: object) -> tuple[str, bool]:
        """Return ``key`` in the form the database stores."""
        if type(key) is not str:
            raise TypeError(f"keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return a stored key; refuse a pickled one."""
        if type(key) is not str or raw != 1:
            raise ForeignRowError("a key that is not plain text")
        return key

    def store(
        self, value: object, read: object, key: object = diskcache.UNKNOWN
    ) -> tuple[int, int, None, object]:
        """Return the columns of ``value``: always in the row itself, however long it is."""
        if read or type(value) not in {str, int, float}:
            raise TypeError(f"values are text or plain numbers, not {type(value).__name__} ({key!r:.80})")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: object) -> Any:
        """Return a stored value; refuse one that is pickled, binary or in a file."""
        if read or filename is not None:
            raise ForeignRowError("a value that points to a file")
        if mode != diskcache.core.MODE_RAW or type(value) not in {str, int, float}:
            raise ForeignRowError("a value that is not plain text or a number")
        return value

    def remove(self, file_path: object) -> None:
        """Do nothing: never delete a file named in a row."""


class PlainCache(diskcache.Cache):  # type: ignore[misc]  # its base is untyped
    """The cache in an open database; it works within the caller's transaction."""

    # Instead of the property that opens one connection for each thread, with a timeout of 60 s.
    _con: Any = None

    def __init__(self, connection: sqlite3.Connection) -> None:
        # Not diskcache's own constructor, which writes some sixty times: see create().
        self.__dict__.update(_SETTINGS)
        self._con = connection
        self._disk = PlainDisk("/")

    def is_empty(self) -> bool:
        """Whether the file has no tables at all yet."""
        ((version,),) = self._sql("PRAGMA schema_version")
        return bool(version == 0)

    def begin_journal(self) -> None:
        """Switch to a write-ahead log, so that readers never wait for writers."""
        self._sql("PRAGMA journal_mode = WAL").close()

    @contextmanager
    def transaction(self, begin: str) -> Iterator[None]:
        """Run a transaction: reads see one snapshot, and writes are all or nothing."""
        self._sql(begin)
        yield
        self._sql("COMMIT")  # closing the connection rolls back the rest

    def create(self) -> None:
        """Create diskcache's tables."""
        # Pass a folder that exists and has no $ or ~, which it would expand.
        super().__init__("/", disk=PlainDisk, **_SETTINGS)

    def with_keys(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return those of ``keys`` that exist, with their values."""
        values: dict[str, Any] = {}
        for first in range(0, len(keys), _MOST_AT_ONCE):
            some = keys[first : first + _MOST_AT_ONCE]
            values.update(self._select(f"raw = 1 AND key IN ({', '.join('?' * len(some))})", *some))
        return values

    def with_prefix(self, start: str) -> dict[str, Any]:
        """Return the keys that start with ``start``, which must be ASCII, with their values."""
        return dict(self._select("key >= ? AND key < ? ORDER BY key", start, start + "\x7f"))

    def _select(self, which: str, *values: str) -> Iterator[tuple[str, Any]]:
        for key, raw, mode, filename, value in self._sql(_SELECT + which, (time.time(), *values)):
            yield self._disk.get(key, raw), self._disk.fetch(mode, filename, value, read=False)

    def reset(self, key: str, *_value: object, **_update: object) -> object:
        """Return the constant value of a setting, without reading or changing the file."""
        return _SETTINGS.get(key, 0)

    def close(self) -> None:
        """Do nothing: the opener of the connection closes it."""

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        return self._con.execute  # type: ignore[no-any-return]

    @contextmanager
    def _transact(
        self, *_retry: object, **_filename: object
    ) -> Iterator[tuple[Callable[..., sqlite3.Cursor], Callable[[object], None]]]:
        yield self._con.execute, lambda _: None  # the files that rows name are left alone
