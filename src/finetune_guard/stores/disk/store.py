"""Histories in a folder, shared by every process that is told the same one."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.base import store_error
from finetune_guard.stores.codec import check_schema
from finetune_guard.stores.contention import repeated
from finetune_guard.stores.disk import faults
from finetune_guard.stores.disk.database import SCHEMA, transact
from finetune_guard.stores.keys import Row, key, parts, prefix
from finetune_guard.stores.rows import Change, Rows, RowStore

if TYPE_CHECKING:
    from finetune_guard.stores.disk.plain_cache import PlainCache

READ_PATIENCE = timedelta(seconds=2)
WRITE_PATIENCE = timedelta(seconds=10)
_T = TypeVar("_T")


class DiskStore(RowStore):
    """Rows in an SQLite database, by way of diskcache, in a folder on a local disk.

    Nothing is pickled, and nothing stays open between two calls.

    Args:
        folder: Where; it is created, for its owner alone, by the first call that writes. A relative one
            is below the working directory of when the store is opened or, on an event loop, first used.
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
        return self._attempt(doing, work, self._read_patience, writing=False)

    def _change(self, doing: str, work: Callable[[Change], _T]) -> _T:
        return self._attempt(doing, work, self._write_patience, writing=True)

    def close(self) -> None:
        pass

    def _attempt(
        self, doing: str, work: Callable[[_CacheRows], _T], patience: timedelta, *, writing: bool
    ) -> _T:
        if self._nowhere is None and not os.path.isabs(self.location):  # noqa: PTH117 (it is text)
            self._locate()
        if self._nowhere is not None:  # asking again might find another directory, which nobody meant
            raise store_error(
                f"{self.location!r} can't be the folder of a history: there was no working directory that it "
                "could be below.",
                "Set FINETUNE_GUARD_STORE to an absolute path such as /var/lib/guard, or to memory.",
            ) from self._nowhere

        def once() -> _T:
            return transact(
                self.location,
                lambda cache: work(_CacheRows(cache, self.location)),
                writing=writing,
            )

        try:
            return repeated(once, faults.is_contended, patience, longest_pause=0.25)
        except StoreError:
            raise
        except Exception as exc:
            what = f"Could not {doing} in {self.location!r}: {faults.summary(exc)}."
            raise store_error(what, faults.remedy(exc)) from exc


class _CacheRows:
    def __init__(self, cache: PlainCache | None, location: str) -> None:
        self._cache = cache
        self._location = location

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        if self._cache is None:
            return {}
        wanted = {key(*row): row for row in rows}
        try:
            texts = self._cache.found([SCHEMA, *wanted])
        except sqlite3.OperationalError as exc:
            if "no such" not in str(exc):
                raise
            texts = {}  # it has other tables
        check_schema(
            texts.pop(SCHEMA, None),
            f"in {self._location!r}",
            "set FINETUNE_GUARD_STORE to a folder of its own",
        )
        found = {wanted[name]: text for name, text in texts.items()}
        for table in tables:
            below = ((parts(name), text) for name, text in self._cache.below(prefix(*table)).items())
            found.update({row: text for row, text in below if row[:-1] == table})
        return found

    def write(self, row: Row, text: str | None) -> None:
        assert self._cache is not None
        if text is None:
            self._cache.delete(key(*row))
        else:
            self._cache.set(key(*row), text)
