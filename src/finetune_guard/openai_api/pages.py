"""The lists that the API answers with, read so that no answer can do harm.

No I/O and no clock here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MOST_ROWS = 100_000
_LONGEST_CURSOR = 2_048


def is_list(body: object) -> bool:
    """Whether ``body`` is one of the API's lists, or a page of one; nothing endless is."""
    return (
        isinstance(body, Mapping) and isinstance(body.get("data"), list) and len(body["data"]) <= _MOST_ROWS
    )


def is_cursor(value: object) -> bool:
    """Whether ``value`` can be what the next page is asked for with: it becomes a part of a URL."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_CURSOR and value.isprintable()


def rows(body: Any) -> Iterator[Mapping[str, Any]]:
    """Return the objects of a list; nothing where the body isn't one."""
    if is_list(body):
        yield from (row for row in body["data"] if isinstance(row, Mapping))


def has_more(body: Any) -> bool:
    """Whether a list says that it goes on after this page."""
    return is_list(body) and body.get("has_more") is True


def cursor(body: Any) -> str | None:
    """Return the id of a page's last object, after which the next page begins; None when it has none."""
    last = body["data"][-1] if is_list(body) and body["data"] else None
    found = last.get("id") if isinstance(last, Mapping) else None
    return found if is_cursor(found) else None
