"""Stores that behave like those of other processes, or like broken ones."""

from __future__ import annotations

from finetune_guard import StoreError
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore


class Elsewhere(DiskStore):
    """A store on the same folder that shares no memory, as in another process."""

    @property
    def identity(self):
        return id(self)


class Unreadable(MemoryStore):
    """A store that can't be read."""

    def evidence(self, organization):
        raise StoreError("out of order", remedy="none")

    history = announced = evidence
