"""Histories in memory, which end with the process."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable
from typing import TypeVar

from finetune_guard import process
from finetune_guard.stores.keys import Row
from finetune_guard.stores.rows import Change, Rows, RowStore

_T = TypeVar("_T")


class MemoryStore(RowStore):
    """Rows in dictionaries, under a lock.

    A forked child starts with a copy of its parent's rows, except leases; then the two are independent.
    """

    location = "memory"

    # Leases within one process can use the monotonic clock, which is never set.
    _seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._lock = process.ForkLock()
        self._tables: dict[Row, dict[str, str]] = {}
        self._changes = 0
        _stores.add(self)

    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:  # noqa: ARG002 (nothing can fail here)
        with self._lock:
            return work(_MemoryChange(self._tables))

    def _change(self, doing: str, work: Callable[[Change], _T]) -> _T:  # noqa: ARG002 (as above)
        with self._lock:
            while True:
                changes, change = self._changes, _MemoryChange(self._tables)
                result = work(change)
                if changes == self._changes:  # else a signal handler has changed these rows
                    self._changes += 1
                    change.commit()
                    return result

    def close(self) -> None:
        """Do nothing: the rows stay until the store is deleted."""


class _MemoryChange:
    def __init__(self, tables: dict[Row, dict[str, str]]) -> None:
        self._tables = tables
        self._written: dict[Row, str | None] = {}

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        texts = {row: text for row in rows if (text := self._tables.get(row[:-1], {}).get(row[-1]))}
        for table in tables:
            texts.update({(*table, name): text for name, text in self._tables.get(table, {}).items()})
        return texts

    def write(self, row: Row, text: str | None) -> None:
        self._written[row] = text

    def commit(self) -> None:
        for row, text in self._written.items():
            table = self._tables.setdefault(row[:-1], {})
            if text is None:
                table.pop(row[-1], None)
            else:
                table[row[-1]] = text


_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _forget_leases() -> None:
    for store in _stores:
        store._tables.pop(("lease",), None)  # noqa: SLF001 (the same module's own)


process.register(process.Rank.STORES, process.Hooks(after_fork_in_child=_forget_leases))
