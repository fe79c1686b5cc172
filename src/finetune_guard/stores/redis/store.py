"""Histories on a Redis or Valkey server, shared by every host that is told the same one."""
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
from finetune_guard.stores.base import Lease, OutcomeUnknownError, store_error
from finetune_guard.stores.contention import repeated
from finetune_guard.stores.keys import checked
from finetune_guard.stores.redis.url import read_url
from finetune_guard.stores.rows import Rows, RowStore, touched, update

if TYPE_CHECKING:
    from finetune_guard.stores.redis.rows import RedisChange, RedisRows

_T = TypeVar("_T")
_PATIENCE = timedelta(seconds=10)
_RECEIPT_KEPT = timedelta(days=1)


class RedisStore(RowStore):
    """Histories on a server, by way of redis-py, which the extra ``redis`` installs.

    A row is a string of JSON, the same text as on a disk. A change watches every row it reads, and is
    repeated when one of them changed before it wrote.

    The server must be Redis 6 or newer, or Valkey: one, or a primary with replicas. All keys begin with
    ``{prefix}:`` and are in one slot of a cluster. No script is run. A user of its own needs no more than::

        ACL SETUSER guard on >password ~{finetune-guard}:* +getrange +set +pttl +del +watch +unwatch
            +multi +exec +select

    The server should persist its keys and evict none (``maxmemory-policy noeviction``). What a primary lost
    when a replica took its place was never recorded, and a lease that it gave may then be given twice.

    ``record`` leaves a receipt in its transaction, by which the retry that its ``OutcomeUnknownError`` offers
    sees whether it was done. It is kept for a day: after a longer outage, inferences may count twice.

    Args:
        url: ``redis://``, ``rediss://`` (TLS), ``unix://`` (a socket file), ``valkey://`` or ``valkeys://``,
            with the options ``db``, ``prefix`` and ``timeout`` (2 seconds, for connecting and for each
            answer), and for TLS those of redis-py that begin with ``ssl_``.

    Raises:
        StoreError: ``url`` can't be such a URL, or redis-py is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = read_url(url)
        if importlib.util.find_spec("redis") is None:
            raise store_error(
                f"A store at {self._url.location} needs redis-py, which is not installed.",
                "Run: pip install 'finetune-guard[redis]'.",
            )
        self.location = self._url.location
        self._rows_of: dict[int, RedisRows] = {}
        self._senders_of: dict[int, list[str]] = {}

    @property
    def place(self) -> Hashable:
        return "redis", *self._url.place

    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:
        return self._attempt(doing, lambda: work(self._rows))

    def _change(
        self, doing: str, work: Callable[[RedisChange], _T], again: Callable[[str], None] | None = None
    ) -> _T:
        return self._attempt(doing, lambda: self._rows.change(work), again)

    def _take(self, lease: Lease, ttl: timedelta) -> bool:
        # The server measures its time and ends it, since the clocks of hosts differ.
        row, text = ("lease", lease.name), codec.lease_text(lease.token, self._seconds(), ttl)
        return self._attempt("take a lease", lambda: self._rows.take(row, text, ttl))

    def _record(self, organization: str, add: Callable[[History], History]) -> None:
        try:
            sender = self._senders.pop()
        except IndexError:
            sender = secrets.token_hex(16)
        # Another one each time: a copy of a whole process would count on alike.
        receipt, token = ("receipt", sender), codec.TEXT.text(secrets.token_hex(16))
        has_arrived = False

        def send(organization: str) -> None:
            nonlocal has_arrived
            checked(organization)

            def record(change: RedisChange) -> None:
                found = change.read(receipt, *touched(organization, add))
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
        # Those of this process that send nothing now. A sender sends no more before it knows whether its last
        # inferences have arrived, so that the server needs to remember one token of each.
        return self._senders_of.setdefault(os.getpid(), [])

    def close(self) -> None:
        opened = self._rows_of.pop(os.getpid(), None)
        if opened is not None:
            opened.close()

    @property
    def _rows(self) -> RedisRows:
        # A child after a fork must not talk through its parent's connections.
        opened = self._rows_of.get(os.getpid())
        if opened is None:
            from finetune_guard.stores.redis.rows import RedisRows  # noqa: PLC0415 (redis-py is optional)

            self._rows_of.clear()
            opened = self._rows_of.setdefault(os.getpid(), RedisRows(self._url))
        return opened

    def _attempt(self, doing: str, work: Callable[[], _T], again: Callable[[str], None] | None = None) -> _T:
        try:
            with process.no_fork:
                from finetune_guard.stores.redis import faults, rows  # noqa: PLC0415 (redis-py is optional)
        except ImportError as exc:
            raise store_error(
                f"Could not {doing} at {self.location}: redis-py can't be imported.",
                "Run: pip install --upgrade 'finetune-guard[redis]'.",
            ) from exc
        # Threads that got into each other's way take turns; the locks are this process's own.
        turn = _turns.setdefault((os.getpid(), self.place), threading.RLock())
        try:
            return repeated(work, faults.is_contended, _PATIENCE, longest_pause=0.1, turn=turn)
        except Exception as exc:  # noqa: BLE001 (it is raised below, where nothing else is chained to it)
            fault, unanswered = faults.rooted(exc), isinstance(exc, rows.UnansweredError)
        if isinstance(fault, StoreError):
            raise fault
        what = f"Could not {doing} at {self.location}: {faults.summary(fault, self._url.secrets)}."
        cause, remedy = faults.speakable(fault, self._url.secrets), faults.remedy(fault)
        if unanswered and again is not None:
            raise OutcomeUnknownError(f"{what} {remedy}", remedy=remedy, again=again) from cause
        raise store_error(what, remedy) from cause


_turns: dict[tuple[int, Hashable], threading.RLock] = {}
