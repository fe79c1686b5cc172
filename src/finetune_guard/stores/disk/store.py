"""Histories in a folder, shared by every process that is told the same one."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from finetune_guard.domain.history import Activity, Evidence, History, Inference, Source
from finetune_guard.domain.shutdowns import Announced, merged_announcements
from finetune_guard.stores import codec
from finetune_guard.stores.base import Lease, Store
from finetune_guard.stores.disk.database import Database, database_in
from finetune_guard.stores.errors import store_error
from finetune_guard.stores.keys import checked, key, parts, prefix

if TYPE_CHECKING:
    from finetune_guard.stores.disk.plain_cache import PlainCache

READ_PATIENCE = timedelta(seconds=2)
WRITE_PATIENCE = timedelta(seconds=10)


class DiskStore(Store):
    """Histories in an SQLite database, by way of diskcache, in a folder on a local disk.

    A summary has a row of its own, beside one for each model and one for each day. Nothing is pickled.
    Every ``DiskStore`` of a process that means the same folder shares one connection.

    Args:
        folder: Where; it is created, for its owner alone, by the first call that writes.
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
        self.location = os.path.abspath(folder)  # noqa: PTH100 (unlike Path.absolute, it resolves ..)
        self._read_patience = read_patience
        self._write_patience = write_patience
        self._database: Database | None = None

    @property
    def place(self) -> str:
        return self.location

    def evidence(self, organization: str) -> Evidence:
        row = key("evidence", organization)
        empty = Evidence(organization=organization)
        return self._opened.read(
            "read what is known about an organization",
            lambda cache: _evidence(cache, row, organization),
            empty,
            self._read_patience,
        )

    def history(self, organization: str) -> History:
        checked(organization)
        empty = History(evidence=Evidence(organization=organization))
        return self._opened.read(
            "read a history", lambda cache: _history(cache, organization), empty, self._read_patience
        )

    def organizations(self) -> tuple[str, ...]:
        def names(cache: PlainCache) -> tuple[str, ...]:
            return tuple(sorted(parts(row)[1] for row in cache.keys(prefix("evidence"))))

        return self._opened.read("list the histories", names, (), self._read_patience)

    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        activities = tuple(activities)
        for name in (organization, *(activity.inference.model for activity in activities)):
            checked(name)
        if activities:
            self._opened.write(
                "record inferences",
                lambda cache: _record(cache, organization, activities),
                self._write_patience,
            )

    def merge(self, history: History) -> None:
        for name in (history.organization, *history.models):
            checked(name)

        def merge(cache: PlainCache) -> None:
            part = _part(cache, history.organization, history.models, history.daily)
            _write(cache, part.merged(history))

        self._opened.write("merge what is known about an organization", merge, self._write_patience)

    def announced(self) -> dict[str, Announced]:
        def said(cache: PlainCache) -> dict[str, Announced]:
            return {
                parts(row)[1]: codec.announced_from(value) for row, value in cache.scan(prefix("shutdown"))
            }

        return self._opened.read("read shutdown dates", said, {}, self._read_patience)

    def announce(self, announced: Mapping[str, Announced]) -> None:
        keys = {model: key("shutdown", model) for model in announced}

        def merge(cache: PlainCache) -> None:
            for model, row in keys.items():
                value = cache.get(row)
                known = {} if value is None else {model: codec.announced_from(value)}
                merged = merged_announcements(known, {model: announced[model]})
                cache.set(row, codec.announced_text(merged[model]))

        if announced:
            self._opened.write("remember shutdown dates", merge, self._write_patience)

    def organization_of(self, alias: str) -> str | None:
        row = key("alias", alias)

        def find(cache: PlainCache) -> str | None:
            value = cache.get(row)
            return codec.text_from(value) if value is not None else None

        return self._opened.read("look up an alias", find, None, self._read_patience)

    def aliases(self) -> dict[str, str]:
        def linked(cache: PlainCache) -> dict[str, str]:
            return {parts(row)[1]: codec.text_from(value) for row, value in cache.scan(prefix("alias"))}

        return self._opened.read("list the aliases", linked, {}, self._read_patience)

    def link(self, alias: str, organization: str) -> None:
        row = key("alias", alias)
        checked(organization)

        def move(cache: PlainCache) -> None:
            if alias != organization and cache.get(key("evidence", alias)) is not None:
                merged = _history(cache, organization).merged(_history(cache, alias))
                _write(cache, merged)
                for kind in ("model", "day"):
                    for old in tuple(cache.keys(prefix(kind, alias))):
                        cache.delete(old)
                cache.delete(key("evidence", alias))
            cache.set(row, codec.plain_text(organization))

        self._opened.write("link an alias", move, self._write_patience)

    def salt(self, *, create: bool) -> bytes | None:
        row = key("salt")

        def find(cache: PlainCache) -> bytes | None:
            value = cache.get(row)
            return codec.salt_from(value) if value is not None else None

        def find_or_make(cache: PlainCache) -> bytes:
            salt = find(cache)
            if salt is None:
                salt = secrets.token_bytes(32)
                cache.set(row, codec.plain_text(salt.hex()))
            return salt

        known = self._opened.read("read the salt", find, None, self._read_patience)
        if known is not None or not create:
            return known
        return self._opened.write("make a salt", find_or_make, self._write_patience)

    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        if ttl <= timedelta(0):
            raise store_error(f"A lease for {ttl} was refused.", "Its time must be longer than zero.")
        row = key("lease", name)

        def take(cache: PlainCache) -> Lease | None:
            now = time.time()
            for held in tuple(cache.scan(prefix("lease"))):
                if not codec.lease_from(held[1]).holds_at(now):
                    cache.delete(held[0])
            if cache.get(row) is not None:
                return None
            lease = Lease(name=name, token=secrets.token_hex(16))
            until = now + ttl.total_seconds()
            cache.set(row, codec.lease_text(codec.HeldLease(token=lease.token, since=now, until=until)))
            return lease

        return self._opened.write("take a lease", take, self._write_patience)

    def release(self, lease: Lease) -> None:
        row = key("lease", lease.name)

        def give_back(cache: PlainCache) -> None:
            value = cache.get(row)
            if value is not None and codec.lease_from(value).token == lease.token:
                cache.delete(row)

        self._opened.write("give a lease back", give_back, self._write_patience)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    @property
    def _opened(self) -> Database:
        if self._database is None:
            self._database = database_in(self.location)
        return self._database


def _evidence(cache: PlainCache, row: str, organization: str) -> Evidence:
    value = cache.get(row)
    if value is None:
        return Evidence(organization=organization)
    return codec.evidence_from(value, organization)


def _model(cache: PlainCache, organization: str, model: str) -> dict[str, Inference]:
    value = cache.get(key("model", organization, model))
    return {} if value is None else {model: codec.inference_from(value, organization, model)}


def _day(cache: PlainCache, organization: str, day: date) -> dict[date, dict[Source, int]]:
    value = cache.get(key("day", organization, day.isoformat()))
    return {} if value is None else {day: codec.counts_from(value)}


def _history(cache: PlainCache, organization: str) -> History:
    models = {}
    for row, value in cache.scan(prefix("model", organization)):
        model = parts(row)[2]
        models[model] = codec.inference_from(value, organization, model)
    return History(
        evidence=_evidence(cache, key("evidence", organization), organization),
        models=models,
        daily={
            codec.day_from(parts(row)[2]): codec.counts_from(value)
            for row, value in cache.scan(prefix("day", organization))
        },
    )


def _part(cache: PlainCache, organization: str, models: Iterable[str], days: Iterable[date]) -> History:
    """The part of a history that a change touches."""
    known: dict[str, Inference] = {}
    daily: dict[date, dict[Source, int]] = {}
    for model in models:
        known.update(_model(cache, organization, model))
    for day in days:
        daily.update(_day(cache, organization, day))
    evidence = _evidence(cache, key("evidence", organization), organization)
    return History(evidence=evidence, models=known, daily=daily)


def _record(cache: PlainCache, organization: str, activities: Sequence[Activity]) -> None:
    touched = {activity.inference.model for activity in activities}
    counted = {day for activity in activities for day in activity.counts}
    _write(cache, _part(cache, organization, touched, counted).recorded_all(activities))


def _write(cache: PlainCache, history: History) -> None:
    name = history.organization
    cache.set(key("evidence", name), codec.evidence_text(history.evidence))
    for model, inference in history.models.items():
        cache.set(key("model", name, model), codec.inference_text(inference))
    for day, counts in history.daily.items():
        cache.set(key("day", name, day.isoformat()), codec.counts_text(dict(counts)))
