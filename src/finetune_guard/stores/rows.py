"""The operations of every store, written once over rows of text.

A backend implements three things: reading rows, changing rows in one transaction, and closing files or
connections. A row's name is its kind followed by its names:

=========================================  ==================================================
``("evidence", organization)``             the summary of an organization's history
``("model", organization, model)``         the latest inference of a model
``("day", organization, day)``             how many inferences a day had, by source
``("alert", organization, subject)``        the state of the alerts about a subject
``("alias", alias)``                       the organization that an alias stands for
``("shutdown", model)``                    what the API said about a model's shutdown date
``("salt",)``                              the bytes that keys are hashed with
``("lease", name)``                        who holds a lease
=========================================  ==================================================
"""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import secrets
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Protocol, TypeVar

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Activity, Inference, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced, latest_announced
from finetune_guard.stores import codec
from finetune_guard.stores.base import Lease, Store
from finetune_guard.stores.keys import Row, check_name

_T = TypeVar("_T")
_SALT: Row = ("salt",)


class Rows(Protocol):
    """Reads within one transaction."""

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        """Return those of ``rows`` that exist and every row of ``tables``, as one snapshot.

        A table's name is the prefix of its rows' names: ``("model", "acme")``.
        """


class Change(Rows, Protocol):
    """Reads and writes within one transaction."""

    def write(self, row: Row, text: str | None) -> None:
        """Write a row that was read in this transaction; None removes it."""


class RowStore(Store):
    """A store that keeps rows of text; a new backend is a subclass of it."""

    @abstractmethod
    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:
        """Return the result of ``work``, which may be called several times until it saw one snapshot.

        A ``StoreError`` names the failed action, ``doing``, and is chained to the cause.
        """

    @abstractmethod
    def _change(self, doing: str, work: Callable[[Change], _T]) -> _T:
        """Return the result of ``work`` after committing its writes; on an error nothing is written.

        ``work`` may be called several times, until no one else has changed the rows it read.
        """

    def evidence(self, organization: str) -> Evidence:
        row = ("evidence", check_name(organization))
        doing = "read what is known about an organization"
        return self._read(doing, lambda rows: _history_in(rows.read(row), organization).evidence)

    def history(self, organization: str) -> History:
        row, *tables = [(kind, check_name(organization)) for kind in ("evidence", "model", "day")]
        doing = "read a history"
        return self._read(doing, lambda rows: _history_in(rows.read(row, tables=tables), organization))

    def organizations(self) -> tuple[str, ...]:
        rows_read = self._read("list the histories", lambda rows: rows.read(tables=[("evidence",)]))
        return tuple(sorted(name for _, name in rows_read))

    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        activities = tuple(activities)
        for name in (organization, *(activity.inference.model for activity in activities)):
            check_name(name)
        if activities:
            self._record(organization, lambda history: history.recorded(*activities))

    def _record(self, organization: str, add: Callable[[History], History]) -> None:
        self._change("record inferences", lambda change: update(change, organization, add))

    def merge(self, history: History) -> None:
        last = history.last_inference
        for name in (history.organization, *history.models, *([last.model] if last is not None else ())):
            check_name(name)
        self._change(
            "merge what is known about an organization",
            lambda change: update(change, history.organization, lambda known: known.merged(history)),
        )

    def forget(self, organization: str, *, usage_only: bool = False) -> None:
        row, *tables = [(kind, check_name(organization)) for kind in ("evidence", "model", "day")]
        others = [("alert", organization), ("alias",)]

        def forget_usage(change: Change) -> None:
            stored = change.read(row, tables=tables)
            if stored:
                remaining = _history_in(stored, organization).without_usage()
                _write_history(change, remaining, stored)
                for each in stored.keys() - _rows_of(remaining).keys():
                    change.write(each, None)

        def forget(change: Change) -> None:
            for each, text in change.read(row, tables=[*tables, *others]).items():
                if each[0] != "alias" or codec.TEXT.read(text) == organization:
                    change.write(each, None)

        self._change("forget what is known about an organization", forget_usage if usage_only else forget)

    def alerts(self, organization: str) -> dict[str, str]:
        table = ("alert", check_name(organization))
        return self._table("read the state of alerts", table, codec.TEXT)

    def keep_alerts(self, organization: str, state: Mapping[str, str | None]) -> None:
        rows = {
            ("alert", check_name(organization), check_name(subject)): text for subject, text in state.items()
        }

        def keep(change: Change) -> None:
            change.read(*rows)
            for row, text in rows.items():
                change.write(row, codec.TEXT.text(text) if text is not None else None)

        if rows:
            self._change("store the state of alerts", keep)

    def announced(self) -> dict[str, Announced]:
        return self._table("read shutdown dates", ("shutdown",), codec.ANNOUNCED)

    def announce(self, announced: Mapping[str, Announced]) -> None:
        rows = {("shutdown", check_name(model)): each for model, each in announced.items()}

        def merge(change: Change) -> None:
            stored = change.read(*rows)
            for row, each in rows.items():
                known = codec.ANNOUNCED.read(stored[row]) if row in stored else None
                _write_fact(change, row, codec.ANNOUNCED, latest_announced(known, each), stored)

        if rows:
            self._change("remember shutdown dates", merge)

    def organization_of(self, alias: str) -> str | None:
        row = ("alias", check_name(alias))
        return self._read("look up an alias", lambda rows: _fact_in(rows, row, codec.TEXT))

    def aliases(self) -> dict[str, str]:
        return self._table("list the aliases", ("alias",), codec.TEXT)

    def _table(self, doing: str, table: Row, form: codec.Form[_T]) -> dict[str, _T]:
        def read(rows: Rows) -> dict[str, _T]:
            return {row[-1]: form.read(text) for row, text in rows.read(tables=[table]).items()}

        return self._read(doing, read)

    def link(self, alias: str, organization: str) -> None:
        row, summary = ("alias", check_name(alias)), ("evidence", alias)
        linked = codec.TEXT.text(check_name(organization))

        def has_history(stored: Mapping[Row, str]) -> bool:
            return summary in stored and alias != organization

        def is_done(rows: Rows) -> bool:
            stored = rows.read(row, summary)
            return stored.get(row) == linked and not has_history(stored)

        def link(change: Change) -> None:
            if has_history(change.read(row, summary)):
                _move(change, alias, organization)
            change.write(row, linked)

        if not self._read("look up an alias", is_done):
            self._change("link an alias", link)

    def salt(self, *, create: bool) -> bytes | None:
        def find_or_make(change: Change) -> str:
            salt = _fact_in(change, _SALT, codec.SALT)
            if salt is None:
                salt = secrets.token_hex(32)
                change.write(_SALT, codec.SALT.text(salt))
            return salt

        known = self._read("read the salt", lambda rows: _fact_in(rows, _SALT, codec.SALT))
        if known is None and create:
            known = self._change("make a salt", find_or_make)
        return bytes.fromhex(known) if known is not None else None

    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        if ttl <= timedelta(0):
            raise StoreError(f"A lease for {ttl} was refused.", remedy="Its time must be longer than zero.")
        lease = Lease(name=check_name(name), token=secrets.token_hex(16))
        return lease if self._take(lease, ttl) else None

    def _take(self, lease: Lease, ttl: timedelta) -> bool:
        """Take the lease if it is free; return whether it was. Expired leases are removed."""
        row = ("lease", lease.name)

        def take(change: Change) -> bool:
            now = self._seconds()
            held = change.read(row, tables=[row[:1]])
            expired = [each for each, text in held.items() if not codec.LEASE.read(text).holds_at(now)]
            for each in expired:
                change.write(each, None)
            if row in held and row not in expired:
                return False
            change.write(row, codec.lease_text(lease.token, now, ttl))
            return True

        return self._change("take a lease", take)

    @staticmethod
    def _seconds() -> float:
        return time.time()

    def release(self, lease: Lease) -> None:
        row = ("lease", check_name(lease.name))

        def give_back(change: Change) -> None:
            stored = change.read(row)
            if row in stored and codec.LEASE.read(stored[row]).token == lease.token:
                change.write(row, None)

        self._change("give a lease back", give_back)


def _rows_of(history: History) -> dict[Row, tuple[codec.Form[Any], Any]]:
    name = history.organization
    return {
        ("evidence", name): (codec.EVIDENCE, history.evidence),
        **{("model", name, model): (codec.INFERENCE, each) for model, each in history.models.items()},
        **{("day", name, day.isoformat()): (codec.COUNTS, counts) for day, counts in history.daily.items()},
    }


def rows_changed_by(organization: str, do: Callable[[History], History]) -> Iterable[Row]:
    """Return the rows that ``do`` changes in any history, so that only those are read."""
    return _rows_of(do(History(evidence=Evidence(organization=organization))))


def update(
    change: Change, organization: str, do: Callable[[History], History], *texts: Mapping[Row, str]
) -> None:
    """Change a history by ``do``; unknown fields in its rows and in ``texts`` are kept."""
    stored = change.read(*rows_changed_by(organization, do))
    _write_history(change, do(_history_in(stored, organization)), stored, *texts)


def _move(change: Change, alias: str, organization: str) -> None:
    stored = change.read(("evidence", alias), tables=[("model", alias), ("day", alias)])
    renamed = {
        (kind, organization, *names): codec.with_organization(text, organization)
        for (kind, _, *names), text in stored.items()
    }
    update(change, organization, lambda known: known.merged(_history_in(stored, alias)), renamed)
    for row in stored:
        change.write(row, None)


def _fact_in(rows: Rows, row: Row, form: codec.Form[_T]) -> _T | None:
    text = rows.read(row).get(row)
    return form.read(text) if text is not None else None


def _history_in(rows: Mapping[Row, str], organization: str) -> History:
    evidence = Evidence(organization=organization)
    models: dict[str, Inference] = {}
    daily: dict[date, Mapping[Source, int]] = {}
    for (kind, _, *names), text in rows.items():
        if kind == "evidence":
            evidence = codec.evidence_from(text, organization)
        elif kind == "model":
            models[names[0]] = codec.inference_from(text, organization, names[0])
        else:
            daily[codec.day_from(names[0])] = codec.COUNTS.read(text)
    return History(evidence=evidence, models=models, daily=daily)


def _write_history(change: Change, history: History, *stored: Mapping[Row, str]) -> None:
    for row, (form, fact) in _rows_of(history).items():
        _write_fact(change, row, form, fact, *stored)


def _write_fact(change: Change, row: Row, form: codec.Form[_T], fact: _T, *stored: Mapping[Row, str]) -> None:
    # Keeps the unknown fields of this row in each of ``stored``.
    change.write(row, form.text(fact, *(texts[row] for texts in stored if row in texts)))
