"""Histories in a folder, shared by every process with the same folder."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.codec import check_schema
from finetune_guard.stores.contention import retry_while_contended
from finetune_guard.stores.disk import faults
from finetune_guard.stores.disk.database import SCHEMA, transact
from finetune_guard.stores.keys import Row, key, prefix, split_key
from finetune_guard.stores.rows import Change, Rows, RowStore

if TYPE_CHECKING:
    from finetune_guard.stores.disk.plain_cache import PlainCache

_T = TypeVar("_T")


class DiskStore(RowStore):
    """Rows in an SQLite database, by way of diskcache, in a folder on a local disk.

    Nothing is pickled, and nothing stays open between two calls.

    Args:
        folder: The folder; the first write creates it, for its owner alone. A relative path is resolved when
            the store is opened or, on an event loop, first used.

    Attributes:
        read_patience: How long a read waits for a lock of another process.
        write_patience: How long a write waits.
    """

    read_patience = timedelta(seconds=2)
    write_patience = timedelta(seconds=10)

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.location = os.path.normpath(folder)
        self._location_error: OSError | None = None
        # Getting the working directory is a system call, too slow for an event loop.
        if asyncio._get_running_loop() is None:  # noqa: SLF001 (documented for those who need it to be fast)
            self._make_absolute()

    def _make_absolute(self) -> None:
        try:
            self.location = os.path.abspath(self.location)  # noqa: PTH100 (Path.absolute keeps any ..)
        except OSError as exc:
            self._location_error = exc.with_traceback(None)

    @property
    def identity(self) -> Hashable:
        return self.location if os.path.isabs(self.location) else id(self)  # noqa: PTH117 (it is text)

    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:
        return self._attempt(doing, work, self.read_patience, writing=False)

    def _change(self, doing: str, work: Callable[[Change], _T]) -> _T:
        return self._attempt(doing, work, self.write_patience, writing=True)

    def close(self) -> None:
        pass

    def _attempt(
        self, doing: str, work: Callable[[_CacheRows], _T], patience: timedelta, *, writing: bool
    ) -> _T:
        if self._location_error is None and not os.path.isabs(self.location):  # noqa: PTH117 (it is text)
            self._make_absolute()
        if self._location_error is not None:  # a later working directory may be a different one
            raise StoreError(
                f"{self.location!r} can't be the folder of a history: there was no working directory that it "
                "could be below.",
                remedy="Set FINETUNE_GUARD_STORE to an absolute path such as /var/lib/guard, or to memory.",
            ) from self._location_error

        def once() -> _T:
            return transact(
                self.location,
                lambda cache: work(_CacheRows(cache, self.location)),
                writing=writing,
            )

        try:
            return retry_while_contended(once, faults.is_contended, patience, longest_pause=0.25)
        except StoreError:
            raise
        except Exception as exc:
            what = f"Could not {doing} in {self.location!r}: {faults.summary(exc)}."
            raise StoreError(what, remedy=faults.remedy(exc)) from exc


class _CacheRows:
    def __init__(self, cache: PlainCache | None, location: str) -> None:
        self._cache = cache
        self._location = location

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        if self._cache is None:
            return {}
        row_of = {key(*row): row for row in rows}
        try:
            texts = self._cache.with_keys([SCHEMA, *row_of])
        except sqlite3.OperationalError as exc:
            if "no such" not in str(exc):
                raise
            texts = {}  # it has other tables
        check_schema(
            texts.pop(SCHEMA, None),
            f"in {self._location!r}",
            "set FINETUNE_GUARD_STORE to a folder of its own",
        )
        found = {row_of[name]: text for name, text in texts.items()}
        for table in tables:
            rows_read = (
                (split_key(name), text) for name, text in self._cache.with_prefix(prefix(*table)).items()
            )
            found.update({row: text for row, text in rows_read if row[:-1] == table})
        return found

    def write(self, row: Row, text: str | None) -> None:
        assert self._cache is not None
        if text is None:
            self._cache.delete(key(*row))
        else:
            self._cache.set(key(*row), text)
