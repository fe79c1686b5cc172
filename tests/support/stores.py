"""Stores that behave as those of other processes, or as broken ones, do."""

from __future__ import annotations

from finetune_guard import StoreError
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore


class Elsewhere(DiskStore):
    """A folder as another process sees it: nothing in memory is shared."""

    @property
    def place(self):
        return id(self)


class Unreadable(MemoryStore):
    """A store that can't tell what it knows."""

    def evidence(self, organization):
        raise StoreError("out of order", remedy="none")

    history = announced = evidence
