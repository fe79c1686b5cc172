"""Rows on a server: bounded reads and all-or-nothing changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import redis
from pydantic import Field

from finetune_guard.domain.text import Line
from finetune_guard.stores.codec import SCHEMA_VERSION, Form, UnreadableRowError, check_schema
from finetune_guard.stores.contention import BusyError
from finetune_guard.stores.keys import MAX_NAME_LENGTH, Row, key
from finetune_guard.stores.redis.url import RedisUrl

MAX_ROWS = 100_000
"""The most rows in a table."""

SCHEMA: Row = ("schema",)
"""The row with the schema version."""

NAMES: Form[list[str]] = Form(
    Annotated[list[Annotated[Line, Field(max_length=MAX_NAME_LENGTH)]], Field(max_length=MAX_ROWS)],
    json.dumps,
)
"""The index of a table: the names of its rows."""

_INDEXED = frozenset({"alert", "alias", "day", "evidence", "model", "shutdown"})
_MAX_BYTES = {"index": 1 << 24, "evidence": 1 << 20}
_MAX_BYTES_OF_OTHERS = 1 << 13
_T = TypeVar("_T")
_MAX_READS = 20
_LONGEST_VERSION = 9


def max_bytes(row: Row) -> int:
    """Return the maximum size of a row."""
    return _MAX_BYTES.get(row[0], _MAX_BYTES_OF_OTHERS)


def text_of(row: Row, value: bytes) -> str:
    """Decode a row, of which one byte more than the maximum was read."""
    if len(value) > max_bytes(row):
        raise UnreadableRowError("a row is longer than any that was written there")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableRowError("a row is not what was written there") from None


def index_of(table: Row) -> Row:
    """Return the index row of a table."""
    return ("index", *table)


def changed_index(index: str | None, changes: Mapping[str, bool]) -> str | None:
    """Return an index with the names added for which ``changes`` is true, and the others removed."""
    names = dict.fromkeys(name for name in _names_in(index) if changes.get(name) is not False)
    names |= dict.fromkeys(name for name, is_added in changes.items() if is_added)
    if len(names) > MAX_ROWS:
        raise UnreadableRowError(f"a table would have more than {MAX_ROWS} rows")
    return NAMES.text(list(names)) if names else None


def _names_in(index: str | None) -> list[str]:
    return NAMES.read(index) if index is not None else []


class UnansweredError(Exception):
    """A change was sent, but its reply was lost, so it may or may not have been made."""


def connection_error(fault: BaseException) -> Exception | None:
    """Return the connection error behind a redis-py ``WatchError``; None if there is none."""
    cause = fault.__cause__ or fault.__context__ if isinstance(fault, redis.WatchError) else None
    return cause if isinstance(cause, (redis.ConnectionError, redis.TimeoutError)) else None


class RedisRows:
    """The rows under one prefix, stored as strings, since only strings allow bounded reads.

    Each row has its own key, and an index lists the names of a table's rows, so that nothing has to scan all
    keys of a shared server.
    """

    def __init__(self, url: RedisUrl) -> None:
        common: dict[str, Any] = {
            "db": url.db,
            "username": url.username,
            "password": url.password,
            "socket_timeout": url.timeout,
            "socket_connect_timeout": url.timeout,
            "protocol": 2,  # supported by every server and proxy
            "max_connections": 1 << 31,  # one per active thread
        }
        if url.path:
            server: dict[str, Any] = {"connection_class": redis.UnixDomainSocketConnection, "path": url.path}
        else:
            server = {"connection_class": redis.Connection, "host": url.host, "port": url.port}
        if url.tls is not None:
            server |= {"connection_class": redis.SSLConnection, **url.tls}
        # No retries by redis-py: an unreachable server fails at once, and a change whose reply was lost
        # is not made twice.
        self._client: Any = redis.Redis(connection_pool=redis.ConnectionPool(**common, **server))
        self._prefix = f"{{{url.prefix}}}:"
        self._location = url.location

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        """Return those of ``rows`` that exist and every row of ``tables``, as one snapshot.

        Costs one round trip; two for tables with rows, and one more whenever a row was added meanwhile.
        """
        indexes = {index_of(table): table for table in tables}
        last_indexes: dict[Row, str] = {}
        for _ in range(_MAX_READS):
            table_rows = [
                (*table, name)
                for index, table in indexes.items()
                for name in _names_in(last_indexes.get(index))
            ]
            texts = self.fetch([*rows, *indexes, *table_rows], at_once=bool(indexes))
            indexes_read = {index: texts.pop(index) for index in indexes if index in texts}
            if indexes_read == last_indexes:
                return texts
            last_indexes = indexes_read
        raise BusyError("others went on adding rows to it")

    def fetch(self, rows: Iterable[Row], *, at_once: bool = False) -> dict[Row, str]:
        """Return those of ``rows`` that exist, in one round trip; as one snapshot if ``at_once``."""
        rows = tuple(rows)
        wanted = dict.fromkeys((SCHEMA, *rows))
        with self._client.pipeline(transaction=at_once) as pipe:
            for row in wanted:
                pipe.getrange(self._prefix + key(*row), 0, max_bytes(row))
            answers = zip(wanted, _answers(pipe), strict=True)
            texts = {row: text_of(row, value) for row, value in answers if value != b""}
        version = texts.get(SCHEMA, str(SCHEMA_VERSION))
        is_number = version.isascii() and version.isdecimal() and len(version) <= _LONGEST_VERSION
        check_schema(
            int(version) if is_number else version,
            f"at {self._location}",
            "add ?prefix= and a name of its own to the URL",
        )
        return {row: texts[row] for row in rows if row in texts}

    def change(self, work: Callable[[RedisChange], _T]) -> _T:
        """Return the result of ``work`` after committing its writes, all or nothing."""
        with self._client.pipeline() as pipe:
            change = RedisChange(self, pipe, self._prefix)
            result = work(change)
            change.commit()
            return result

    def take(self, row: Row, text: str, ttl: timedelta) -> bool:
        """Write a row that expires after ``ttl``, unless it exists; return whether it was written."""
        wire = self._prefix + key(*row)
        self.fetch(())
        with self._client.pipeline() as pipe:
            pipe.set(wire, text, nx=True, px=_milliseconds(ttl))
            pipe.pttl(wire)
            taken, ttl_left = _answers(pipe)
        if not taken and ttl_left == -1:
            raise UnreadableRowError("a lease without an end is not what was written there")
        return bool(taken)

    def close(self) -> None:
        """Close the idle connections."""
        self._client.connection_pool.disconnect(inuse_connections=False)


class RedisChange:
    """An optimistic transaction: it watches every row it reads, and fails if one has changed."""

    def __init__(self, rows: RedisRows, pipe: Any, prefix: str) -> None:
        self._rows = rows
        self._pipe = pipe
        self._prefix = prefix
        self._stored: dict[Row, str | None] = {}
        self._written: dict[Row, tuple[str | None, timedelta | None]] = {}

    def read(self, *rows: Row, tables: Iterable[Row] = ()) -> dict[Row, str]:
        """Return those of ``rows`` that exist and every row of ``tables``, and watch them all."""
        indexes = {index_of(table): table for table in tables}
        self._fetch((SCHEMA, *rows, *indexes))
        table_rows = [
            (*table, name) for index, table in indexes.items() for name in _names_in(self._stored[index])
        ]
        self._fetch(table_rows)
        return {row: text for row in (*rows, *table_rows) if (text := self._stored[row]) is not None}

    def _fetch(self, rows: Iterable[Row]) -> None:
        new = [row for row in dict.fromkeys(rows) if row not in self._stored]
        if new:
            self._pipe.watch(*(self._prefix + key(*row) for row in new))
            texts = self._rows.fetch(new)
            self._stored.update({row: texts.get(row) for row in new})

    def write(self, row: Row, text: str | None, ttl: timedelta | None = None) -> None:
        """Write a row that was read; None removes it, and with a ``ttl`` it expires after that time."""
        if text is not None and len(text.encode()) > max_bytes(row):
            raise UnreadableRowError("a row would be too long to be read again")
        self._written[row] = text, ttl

    def commit(self) -> None:
        """Write everything, and the indexes with it."""
        self._update_indexes()
        changes = {row: new for row, new in self._written.items() if new[0] != self._stored[row]}
        if not changes:
            return
        if self._stored[SCHEMA] is None and any(text is not None for text, _ in changes.values()):
            changes[SCHEMA] = str(SCHEMA_VERSION), None
        self._pipe.multi()
        for row, (text, ttl) in changes.items():
            if text is None:
                self._pipe.delete(self._prefix + key(*row))
            else:
                self._pipe.set(self._prefix + key(*row), text, px=ttl and _milliseconds(ttl))
        try:
            _answers(self._pipe)
        except Exception as exc:
            if isinstance(exc, redis.ResponseError) or (
                isinstance(exc, redis.WatchError) and not connection_error(exc)
            ):
                raise  # the server replied that it did nothing
            raise UnansweredError from exc

    def _update_indexes(self) -> None:
        changes: dict[Row, dict[str, bool]] = {}
        for row, (text, _) in self._written.items():
            if row[0] in _INDEXED and (self._stored[row] is None) != (text is None):
                changes.setdefault(index_of(row[:-1]), {})[row[-1]] = text is not None
        self._fetch(changes)
        for index, names in changes.items():
            self.write(index, changed_index(self._stored[index], names))


def _milliseconds(ttl: timedelta) -> int:
    return max(1, -(-ttl // timedelta(milliseconds=1)))


def _answers(pipe: Any) -> list[Any]:
    # An error raised by execute() would repeat the command and its data.
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
