"""Histories that live as long as the process: nothing is written anywhere."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from finetune_guard.domain.history import Activity, Evidence, History, Inference, Source
from finetune_guard.domain.shutdowns import Announced, merged_announcements
from finetune_guard.stores.base import Lease, Store
from finetune_guard.stores.errors import refusal
from finetune_guard.stores.keys import checked


class MemoryStore(Store):
    """Histories in dictionaries, under a lock.

    A child after ``fork`` starts with what its parent knew, and without its leases; from then on the two
    are apart.
    """

    location = "memory"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._evidence: dict[str, Evidence] = {}
        self._models: dict[str, dict[str, Inference]] = {}
        self._daily: dict[str, dict[date, dict[Source, int]]] = {}
        self._aliases: dict[str, str] = {}
        self._announced: dict[str, Announced] = {}
        self._leases: dict[str, tuple[Lease, float]] = {}
        self._salt: bytes | None = None
        _living.add(self)

    def evidence(self, organization: str) -> Evidence:
        with self._lock:
            return self._evidence_of(checked(organization))

    def history(self, organization: str) -> History:
        with self._lock:
            return self._history_of(checked(organization))

    def organizations(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._evidence))

    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        activities = tuple(activities)
        for name in (organization, *(activity.inference.model for activity in activities)):
            checked(name)
        with self._lock:
            for activity in activities:
                touched = self._part_of(organization, (activity.inference.model,), activity.counts)
                self._keep(touched.recorded(activity))

    def merge(self, history: History) -> None:
        for name in (history.organization, *history.models):
            checked(name)
        with self._lock:
            self._keep(self._part_of(history.organization, history.models, history.daily).merged(history))

    def announced(self) -> dict[str, Announced]:
        with self._lock:
            return dict(self._announced)

    def announce(self, announced: Mapping[str, Announced]) -> None:
        for model in announced:
            checked(model)
        with self._lock:
            self._announced = merged_announcements(self._announced, announced)

    def organization_of(self, alias: str) -> str | None:
        with self._lock:
            return self._aliases.get(checked(alias))

    def aliases(self) -> dict[str, str]:
        with self._lock:
            return dict(self._aliases)

    def link(self, alias: str, organization: str) -> None:
        with self._lock:
            self._aliases[checked(alias)] = checked(organization)
            if alias != organization and alias in self._evidence:
                self._keep(self._history_of(organization).merged(self._history_of(alias)))
                for rows in (self._evidence, self._models, self._daily):
                    rows.pop(alias, None)

    def salt(self, *, create: bool) -> bytes | None:
        with self._lock:
            if self._salt is None and create:
                self._salt = secrets.token_bytes(32)
            return self._salt

    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        if ttl <= timedelta(0):
            raise refusal(f"A lease for {ttl} was refused.", "Its time must be longer than zero.")
        now = time.monotonic()
        with self._lock:
            self._leases = {kept: held for kept, held in self._leases.items() if held[1] > now}
            if checked(name) in self._leases:
                return None
            lease = Lease(name=name, token=secrets.token_hex(16))
            self._leases[name] = lease, now + ttl.total_seconds()
            return lease

    def release(self, lease: Lease) -> None:
        with self._lock:
            held = self._leases.get(lease.name)
            if held is not None and held[0] == lease:
                del self._leases[lease.name]

    def close(self) -> None:
        """Do nothing: what is remembered stays until the store itself is gone."""

    def _evidence_of(self, organization: str) -> Evidence:
        return self._evidence.get(organization) or Evidence(organization=organization)

    def _history_of(self, organization: str) -> History:
        return History(
            evidence=self._evidence_of(organization),
            models=self._models.get(organization, {}),
            daily=self._daily.get(organization, {}),
        )

    def _part_of(self, organization: str, models: Iterable[str], days: Iterable[date]) -> History:
        """The part of a history that a change touches: thousands of models are not copied for one."""
        known, counted = self._models.get(organization, {}), self._daily.get(organization, {})
        return History(
            evidence=self._evidence_of(organization),
            models={model: known[model] for model in models if model in known},
            daily={day: counted[day] for day in days if day in counted},
        )

    def _keep(self, part: History) -> None:
        name = part.organization
        self._models.setdefault(name, {}).update(part.models)
        self._daily.setdefault(name, {}).update({day: dict(counts) for day, counts in part.daily.items()})
        self._evidence[name] = part.evidence


_living: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _remake_locks() -> None:
    # Another thread of the parent may have held one at the moment of the fork, and a lease as well: nobody
    # would give that back in the child.
    for store in _living:
        store._lock = threading.Lock()  # noqa: SLF001 (the same module's own)
        store._leases = {}  # noqa: SLF001 (as above)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_remake_locks)
