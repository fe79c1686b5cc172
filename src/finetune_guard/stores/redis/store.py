"""Histories on a Redis or Valkey server, shared by every host that uses it."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import importlib.util
import os
import secrets
import threading
from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from finetune_guard import process
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import History
from finetune_guard.stores import codec
from finetune_guard.stores.base import Lease, OutcomeUnknownError
from finetune_guard.stores.contention import retry_while_contended
from finetune_guard.stores.keys import check_name
from finetune_guard.stores.redis.url import read_url
from finetune_guard.stores.rows import Rows, RowStore, rows_changed_by, update

if TYPE_CHECKING:
    from finetune_guard.stores.redis.rows import RedisChange, RedisRows

_T = TypeVar("_T")
_PATIENCE = timedelta(seconds=10)
_RECEIPT_KEPT = timedelta(days=1)


class RedisStore(RowStore):
    """Histories on a server, through redis-py, which the extra ``redis`` installs.

    A row is a JSON string, the same text as on disk. A change watches every row it reads, and is retried if
    one of them has changed before it writes.

    The server must be Redis 6 or newer, or Valkey: one, or a primary with replicas. All keys begin with
    ``{prefix}:`` and are in one slot of a cluster. No script is run.

    The server should persist its keys and evict none (``maxmemory-policy noeviction``). Writes that are
    lost in a failover are not recorded, and a lease may then be given twice.

    ``record`` writes a receipt in its transaction. After an ``OutcomeUnknownError`` it shows a retry whether
    the inferences were recorded. It expires after a day: after a longer outage, they may count twice.

    Args:
        url: ``redis://``, ``rediss://`` (TLS), ``unix://`` (a socket file), ``valkey://`` or ``valkeys://``,
            with the options ``db``, ``prefix`` and ``timeout`` (2 seconds, for connecting and for each
            reply), and for TLS redis-py's options that start with ``ssl_``.

    Raises:
        StoreError: ``url`` is invalid, or redis-py is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = read_url(url)
        if importlib.util.find_spec("redis") is None:
            raise StoreError(
                f"A store at {self._url.location} needs redis-py, which is not installed.",
                remedy="Run: pip install 'finetune-guard[redis]'.",
            )
        self.location = self._url.location
        self._rows_of: dict[int, RedisRows] = {}
        self._senders_of: dict[int, list[str]] = {}

    @property
    def identity(self) -> Hashable:
        return self._url

    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:
        return self._attempt(doing, lambda: work(self._rows))

    def _change(
        self, doing: str, work: Callable[[RedisChange], _T], again: Callable[[str], None] | None = None
    ) -> _T:
        return self._attempt(doing, lambda: self._rows.change(work), again)

    def _take(self, lease: Lease, ttl: timedelta) -> bool:
        # The server expires it, since the clocks of hosts differ.
        row, text = ("lease", lease.name), codec.lease_text(lease.token, self._seconds(), ttl)
        return self._attempt("take a lease", lambda: self._rows.take(row, text, ttl))

    def _record(self, organization: str, add: Callable[[History], History]) -> None:
        try:
            sender = self._senders.pop()
        except IndexError:
            sender = secrets.token_hex(16)
        # A new token each time: a cloned process would continue a counter in the same way.
        receipt, token = ("receipt", sender), codec.TEXT.text(secrets.token_hex(16))
        has_arrived = False

        def send(organization: str) -> None:
            nonlocal has_arrived
            check_name(organization)

            def record(change: RedisChange) -> None:
                found = change.read(receipt, *rows_changed_by(organization, add))
                if found.get(receipt) != token:
                    update(change, organization, add)
                    change.write(receipt, token, _RECEIPT_KEPT)

            if not has_arrived:
                self._change("record inferences", record, again=send)
                has_arrived = True
                self._senders.append(sender)

        send(organization)

    @property
    def _senders(self) -> list[str]:
        # The idle senders of this process. A sender waits until it knows whether its last inferences arrived,
        # so the server needs to keep only one token for each.
        return self._senders_of.setdefault(os.getpid(), [])

    def close(self) -> None:
        rows = self._rows_of.pop(os.getpid(), None)
        if rows is not None:
            rows.close()

    @property
    def _rows(self) -> RedisRows:
        # A forked child must not use its parent's connections.
        rows = self._rows_of.get(os.getpid())
        if rows is None:
            from finetune_guard.stores.redis.rows import RedisRows  # noqa: PLC0415 (redis-py is optional)

            self._rows_of.clear()
            rows = self._rows_of.setdefault(os.getpid(), RedisRows(self._url))
        return rows

    def _attempt(self, doing: str, work: Callable[[], _T], again: Callable[[str], None] | None = None) -> _T:
        try:
            with process.no_fork:
                from finetune_guard.stores.redis import faults, rows  # noqa: PLC0415 (redis-py is optional)
        except ImportError as exc:
            raise StoreError(
                f"Could not {doing} at {self.location}: redis-py can't be imported.",
                remedy="Run: pip install --upgrade redis.",
            ) from exc
        # Contending threads of this process take turns.
        lock = _locks.setdefault((os.getpid(), self.identity), threading.RLock())
        try:
            return retry_while_contended(work, faults.is_contended, _PATIENCE, longest_pause=0.1, lock=lock)
        except Exception as exc:  # noqa: BLE001 (raised below, without this one as its context)
            fault, unanswered = faults.root_cause(exc), isinstance(exc, rows.UnansweredError)
        if isinstance(fault, StoreError):
            raise fault
        what = f"Could not {doing} at {self.location}: {faults.summary(fault, self._url.secrets)}."
        cause, remedy = faults.redacted(fault, self._url.secrets), faults.remedy(fault)
        if unanswered and again is not None:
            raise OutcomeUnknownError(what, remedy=remedy, again=again) from cause
        raise StoreError(what, remedy=remedy) from cause


_locks: dict[tuple[int, Hashable], threading.RLock] = {}
