"""Histories in a folder, shared by every process that is told the same one."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from finetune_guard.stores.disk.database import Database, database_in
from finetune_guard.stores.errors import store_error
from finetune_guard.stores.keys import Row, key, parts, prefix
from finetune_guard.stores.rows import Change, Rows, RowStore

if TYPE_CHECKING:
    from finetune_guard.stores.disk.plain_cache import PlainCache

READ_PATIENCE = timedelta(seconds=2)
WRITE_PATIENCE = timedelta(seconds=10)
_T = TypeVar("_T")


class DiskStore(RowStore):
    """Rows in an SQLite database, by way of diskcache, in a folder on a local disk.

    Nothing is pickled. Every ``DiskStore`` of a process that means the same folder shares one connection.

    Args:
        folder: Where; it is created, for its owner alone, by the first call that writes. A relative one
            is below the working directory of when the store is opened or, if that happens on an event
            loop, of when it is first used. If that directory is gone then, every call is a ``StoreError``.
        read_patience: How long a call that reads waits for a lock of another process.
        write_patience: How long a call that writes does.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        read_patience: timedelta = READ_PATIENCE,
        write_patience: timedelta = WRITE_PATIENCE,
    ) -> None:
        self.location = os.path.normpath(folder)
        self._read_patience = read_patience
        self._write_patience = write_patience
        self._database: Database | None = None
        self._nowhere: OSError | None = None
        # Asking for the working directory is a system call, which an event loop must not wait for.
        if asyncio._get_running_loop() is None:  # noqa: SLF001 (documented for those who need it to be fast)
            self._locate()

    def _locate(self) -> None:
        try:
            self.location = os.path.abspath(self.location)  # noqa: PTH100 (Path.absolute keeps any ..)
        except OSError as exc:
            self._nowhere = exc.with_traceback(None)

    @property
    def place(self) -> Hashable:
        return self.location if os.path.isabs(self.location) else id(self)  # noqa: PTH117 (it is text)

    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:
        return self._opened.read(doing, lambda cache: work(_CacheRows(cache)), self._read_patience)

    def _change(self, doing: str, work: Callable[[Change], _T]) -> _T:
        return self._opened.write(doing, lambda cache: work(_CacheRows(cache)), self._write_patience)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    @property
    def _opened(self) -> Database:
        if self._database is None and self._nowhere is None:
            self._locate()
        if self._nowhere is not None:  # asking again might find another directory, which nobody meant
            raise store_error(
                f"{self.location!r} can't be the folder of a history: there was no working directory that it "
                "could be below.",
                "Set FINETUNE_GUARD_STORE to an absolute path such as /var/lib/guard, or to memory.",
            ) from self._nowhere
        if self._database is None:
            self._database = database_in(self.location)
        return self._database


class _CacheRows:
    """The rows in a cache; none where there is no database yet."""

    def __init__(self, cache: PlainCache | None) -> None:
        self._cache = cache

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        if self._cache is None:
            return {}
        found = {row: text for row in rows if (text := self._cache.get(key(*row))) is not None}
        for table in tables:
            below = ((parts(name), text) for name, text in self._cache.scan(prefix(*table)))
            found.update({row: text for row, text in below if row[:-1] == table})
        return found

    def write(self, row: Row, text: str | None) -> None:
        assert self._cache is not None
        if text is None:
            self._cache.delete(key(*row))
        else:
            self._cache.set(key(*row), text)
