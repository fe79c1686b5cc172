"""What is looked at in a response: some headers, and a body only if the SDK has read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ANSWER_HEADERS = frozenset((b"date", b"openai-organization", b"openai-project"))
"""The headers of a response that tell whose it is and when it was given."""

REQUEST_HEADERS = frozenset((b"authorization", b"openai-organization"))
"""The headers of a request that tell on whose behalf it was made."""


def picked(headers: Any, names: frozenset[bytes]) -> dict[str, str]:
    """Return the headers that are called ``names``, as the ``headers`` of httpx or httpx2 read them.

    One pass over all of them is several times faster than looking up each.
    """
    found: dict[str, str] = {}
    for _, lower, value in _entries(headers):
        if lower in names:
            name = lower.decode("ascii")
            if name in found or not value.isascii():
                found[name] = headers[name]
            else:
                found[name] = value.decode("ascii")
    return found


def _entries(headers: Any) -> Iterable[tuple[bytes, bytes, bytes]]:
    """Each header as it was written, in lower case, and its value, as both libraries keep them."""
    kept = getattr(headers, "_list", None)
    return kept if kept is not None else [(raw, raw.lower(), value) for raw, value in headers.raw]


def body_if_read(response: Any) -> object:
    """Return the JSON body of a response that the SDK has read to its end; None of any other."""
    if not response.is_stream_consumed:
        return None
    try:
        return response.json()
    except (RuntimeError, ValueError):  # it was streamed to the program, or is no JSON
        return None
