"""Which rows of a server are listed in an index, and how long their text may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from finetune_guard.domain.text import Line
from finetune_guard.stores.codec import UnreadableRowError
from finetune_guard.stores.keys import MAX_NAME_LENGTH, Row
from finetune_guard.stores.schema import SCHEMA_VERSION

MAX_ROWS = 100_000
"""Rows that a table may have at most."""

SCHEMA: Row = ("schema",)
"""The row that says which form all others have."""

_LISTED = frozenset({"alert", "alias", "day", "evidence", "model", "shutdown"})
_MAX_BYTES = {"index": 1 << 24, "evidence": 1 << 20}
_MAX_BYTES_OF_OTHERS = 1 << 13
_TAG = f"{SCHEMA_VERSION}:"
_NAMES = TypeAdapter(
    Annotated[list[Annotated[Line, Field(max_length=MAX_NAME_LENGTH)]], Field(max_length=MAX_ROWS)]
)


def max_bytes(row: Row) -> int:
    """Return how long the text of a row may be."""
    return _MAX_BYTES.get(row[0], _MAX_BYTES_OF_OTHERS)


def text_of(row: Row, value: bytes) -> str:
    """Return the text of a row, of which one byte more was read than there may be."""
    if len(value) > max_bytes(row):
        raise UnreadableRowError("a row is longer than any that was written there")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableRowError("a row is not what was written there") from None


def index_of(table: Row) -> Row:
    """Return the row that lists the names of a table's rows."""
    return ("index", *table)


def index_entry(row: Row) -> tuple[Row, str] | None:
    """Return the index that lists ``row``, and the name it has there; None when no index does."""
    return (index_of(row[:-1]), row[-1]) if row[0] in _LISTED else None


def names_in(index: str | None) -> list[str]:
    """Return the names that an index lists."""
    if index is None:
        return []
    if not index.startswith(_TAG):
        raise UnreadableRowError(f"a list of names does not begin with {_TAG!r}, the version of its form")
    try:
        return _NAMES.validate_json(index[len(_TAG) :])
    except ValidationError as exc:
        raise UnreadableRowError("a list of names is not what was written there") from exc


def changed_index(index: str | None, changes: Mapping[str, bool]) -> str | None:
    """Return an index with the names added for which ``changes`` is true, and the others removed."""
    names = dict.fromkeys(names_in(index))
    for name, came in changes.items():
        if came:
            names[name] = None
        else:
            names.pop(name, None)
    if len(names) > MAX_ROWS:
        raise UnreadableRowError(f"a table would have more than {MAX_ROWS} rows")
    return _TAG + _NAMES.dump_json(list(names)).decode() if names else None
