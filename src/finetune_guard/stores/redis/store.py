"""Histories on a Redis or Valkey server, shared by every host that is told the same one."""
# ruff: noqa: D102 (Store documents what every store does)

from __future__ import annotations

import importlib.util
import os
import secrets
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import Activity, Evidence, History
from finetune_guard.domain.shutdowns import Announced, merged_announcements
from finetune_guard.stores import codec
from finetune_guard.stores.base import Lease, OutcomeUnknownError, Store
from finetune_guard.stores.errors import store_error
from finetune_guard.stores.keys import checked, key
from finetune_guard.stores.redis import history as redis_history
from finetune_guard.stores.redis.keys import index_of, names_in
from finetune_guard.stores.redis.url import read_url

if TYPE_CHECKING:
    from finetune_guard.stores.redis.history import IdempotencyKey
    from finetune_guard.stores.redis.rows import Change, Rows

_T = TypeVar("_T")
_PATIENCE = timedelta(seconds=10)


class RedisStore(Store):
    """Histories on a server, by way of redis-py, which the extra ``redis`` installs.

    A summary is a row of its own, beside one for each model and one for each day: strings of JSON, the
    same text as on a disk. A change watches every row it reads and is repeated when one of them changed
    before it wrote. Sorted sets (``ZADD GT``) and counters (``HINCRBY``) would save some of that, but of
    two inferences at the same instant a score can't tell which one counts, it holds no summary, and a
    counter that turns out not to be one fails after the rest of its transaction is done. So times move
    forward, counts add up and a change is made wholly or not at all, by the rules of ``history`` alone.

    A read costs one round trip, one of a whole history two; a change three, and two more when it adds
    or removes a row.

    The server: Redis 6 or newer, or Valkey; one, or a primary with replicas. All keys begin with
    ``{prefix}:`` and are in one slot of a cluster. No script is ever run. It must allow GETRANGE, SET,
    PTTL, DEL, WATCH, UNWATCH, MULTI and EXEC (and SELECT for a database other than 0), so this suffices
    for a user of its own::

        ACL SETUSER guard on >password ~{finetune-guard}:* +getrange +set +pttl +del +watch +unwatch
            +multi +exec +select

    It should not evict keys (``maxmemory-policy noeviction``), and persist them. What a primary lost when
    a replica took its place was never recorded; a lease that it gave may then be given twice. A write
    whose answer didn't arrive in time is an error although it may have been done. Most can be made anew,
    for twice is the same as once; a lease may be nobody's until its time has passed. ``record`` leaves a
    receipt, in the same transaction, by which the retry that its ``OutcomeUnknownError`` offers sees whether
    it was done. A receipt takes the place of its sender's last one and is kept for a day: after a longer
    outage inferences whose answer was lost may count twice.

    Args:
        url: ``redis://``, ``rediss://`` (TLS), ``unix://`` (a socket file), ``valkey://`` or
            ``valkeys://``, with the options ``db``, ``prefix`` (``finetune-guard``) and ``timeout`` (2
            seconds, for connecting and for each answer; looking up a host's name takes its own time),
            and for TLS those of redis-py: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``,
            ``ssl_cert_reqs``, ``ssl_check_hostname``.

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
        self._rows_of: dict[int, Rows] = {}
        self._senders_of: dict[int, list[str]] = {}

    @property
    def place(self) -> Hashable:
        return "redis", *self._url.place

    def evidence(self, organization: str) -> Evidence:
        row = key("evidence", organization)

        def read() -> Evidence:
            return redis_history.evidence(self._rows.read(row), organization)

        return self._attempt("read what is known about an organization", read)

    def history(self, organization: str) -> History:
        head = key("evidence", organization)
        tables = [("model", organization), ("day", organization)]

        def read() -> History:
            return redis_history.history(self._rows.glance([head], tables), organization)

        return self._attempt("read a history", read)

    def organizations(self) -> tuple[str, ...]:
        return tuple(sorted(self._attempt("list the histories", lambda: self._names("evidence"))))

    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        activities = tuple(activities)
        for name in (organization, *(activity.inference.model for activity in activities)):
            checked(name)
        if activities:
            try:
                sender = self._senders.pop()
            except IndexError:
                sender = secrets.token_hex(16)
            self._send(organization, activities, redis_history.IdempotencyKey(sender, secrets.token_hex(16)))

    def merge(self, history: History) -> None:
        for name in (history.organization, *history.models):
            checked(name)

        def merge(change: Change) -> None:
            part = redis_history.part(change, history.organization, history.models, history.daily)
            redis_history.write(change, part.merged(history))

        self._change("merge what is known about an organization", merge)

    def announced(self) -> dict[str, Announced]:
        return self._attempt("read shutdown dates", lambda: self._table("shutdown", codec.announced_from))

    def announce(self, announced: Mapping[str, Announced]) -> None:
        keys = {model: key("shutdown", model) for model in announced}

        def merge(change: Change) -> None:
            found = change.read(*keys.values())
            known = {model: codec.announced_from(found[row]) for model, row in keys.items() if row in found}
            merged = merged_announcements(known, announced)
            for model, row in keys.items():
                change.write(row, codec.announced_text(merged[model]))

        if announced:
            self._change("remember shutdown dates", merge)

    def organization_of(self, alias: str) -> str | None:
        row = key("alias", alias)

        def find() -> str | None:
            found = self._rows.read(row).get(row)
            return codec.text_from(found) if found is not None else None

        return self._attempt("look up an alias", find)

    def aliases(self) -> dict[str, str]:
        return self._attempt("list the aliases", lambda: self._table("alias", codec.text_from))

    def link(self, alias: str, organization: str) -> None:
        row, kept = key("alias", alias), key("evidence", alias)
        linked = codec.plain_text(checked(organization))

        def is_done() -> bool:
            found = self._rows.read(row, kept)
            return found.get(row) == linked and (kept not in found or alias == organization)

        def move(change: Change) -> None:
            found = change.read(row, kept)
            change.write(row, linked)
            if alias != organization and kept in found:
                redis_history.move(change, alias, organization)

        if not self._attempt("look up an alias", is_done):  # every client links at its first response
            self._change("link an alias", move)

    def salt(self, *, create: bool) -> bytes | None:
        row = key("salt")

        def find() -> bytes | None:
            found = self._rows.read(row).get(row)
            return codec.salt_from(found) if found is not None else None

        def find_or_make(change: Change) -> bytes:
            found = change.read(row).get(row)
            text = found if found is not None else codec.plain_text(secrets.token_hex(32))
            change.write(row, text)
            return codec.salt_from(text)

        known = self._attempt("read the salt", find)
        return self._change("make a salt", find_or_make) if known is None and create else known

    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        if ttl <= timedelta(0):
            raise store_error(f"A lease for {ttl} was refused.", "Its time must be longer than zero.")
        row, lease = key("lease", name), Lease(name=name, token=secrets.token_hex(16))
        taken = self._attempt(
            "take a lease", lambda: self._rows.take(row, codec.plain_text(lease.token), ttl)
        )
        return lease if taken else None

    def release(self, lease: Lease) -> None:
        row, own = key("lease", lease.name), codec.plain_text(lease.token)

        def give_back(change: Change) -> None:
            if change.read(row).get(row) == own:
                change.write(row, None)

        self._change("give a lease back", give_back)

    def close(self) -> None:
        opened = self._rows_of.pop(os.getpid(), None)
        if opened is not None:
            opened.close()

    @property
    def _rows(self) -> Rows:
        """The connections of this process: a child after ``fork`` must not talk through its parent's."""
        process = os.getpid()
        opened = self._rows_of.get(process)
        if opened is None:
            from finetune_guard.stores.redis.rows import Rows  # noqa: PLC0415 (redis-py is optional)

            self._rows_of.clear()
            opened = self._rows_of.setdefault(process, Rows(self._url))
        return opened

    def _names(self, kind: str) -> list[str]:
        index = index_of(kind)
        return names_in(self._rows.read(index).get(index))

    def _table(self, kind: str, read: Callable[[object], _T]) -> dict[str, _T]:
        return redis_history.named(self._rows.glance((), [(kind,)]), kind, read=read)

    def _send(self, organization: str, activities: Sequence[Activity], parcel: IdempotencyKey) -> None:
        def again(organization: str) -> None:
            self._send(checked(organization), activities, parcel)

        def record(change: Change) -> None:
            redis_history.record(change, organization, activities, parcel)

        if not parcel.has_arrived:
            self._change("record inferences", record, again)
            parcel.has_arrived = True
            self._senders.append(parcel.sender)

    @property
    def _senders(self) -> list[str]:
        """Those of this process that send nothing now: as many as there were threads at it at once."""
        return self._senders_of.setdefault(os.getpid(), [])

    def _change(
        self, doing: str, work: Callable[[Change], _T], again: Callable[[str], None] | None = None
    ) -> _T:
        def once() -> _T:
            with self._rows.change() as change:
                return work(change)

        return self._attempt(doing, once, again)

    def _attempt(self, doing: str, work: Callable[[], _T], again: Callable[[str], None] | None = None) -> _T:
        try:
            from finetune_guard.stores.redis import faults  # noqa: PLC0415 (redis-py is optional)
        except ImportError as exc:
            raise store_error(
                f"Could not {doing} at {self.location}: redis-py can't be imported.",
                "Run: pip install --upgrade 'finetune-guard[redis]'.",
            ) from exc
        try:
            return self._repeating(work, faults.is_contended)
        except Exception as exc:  # noqa: BLE001 (it is raised below, where nothing else is chained to it)
            fault, unanswered = faults.rooted(exc), faults.is_unanswered(exc)
        if isinstance(fault, StoreError):
            raise fault
        what = f"Could not {doing} at {self.location}: {faults.summary(fault, self._url.secrets)}."
        cause, remedy = faults.speakable(fault, self._url.secrets), faults.remedy(fault)
        if unanswered and again is not None:
            raise OutcomeUnknownError(f"{what} {remedy}", remedy=remedy, again=again) from cause
        raise store_error(what, remedy) from cause

    def _repeating(self, work: Callable[[], _T], is_contended: Callable[[BaseException], bool]) -> _T:
        try:
            return work()
        except Exception as exc:
            if not is_contended(exc):
                raise
        import tenacity  # noqa: PLC0415 (needed in this rare case only)

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(_PATIENCE.total_seconds()),
            wait=tenacity.wait_random_exponential(multiplier=0.002, max=0.1),
            retry=tenacity.retry_if_exception(is_contended),
            reraise=True,
        ).wraps(work)
        # Threads that got into each other's way take turns; the locks are this process's own.
        turn = _turns.setdefault((os.getpid(), self.place), threading.Lock())
        mine = turn.acquire(timeout=_PATIENCE.total_seconds())
        try:
            return retrying()
        finally:
            if mine:
                turn.release()


_turns: dict[tuple[int, Hashable], threading.Lock] = {}
