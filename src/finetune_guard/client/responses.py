"""What is looked at in a response: some headers, and a body only if the SDK has read it."""

from __future__ import annotations

from typing import Any

ANSWER_HEADERS = frozenset((b"date", b"openai-organization", b"openai-project"))
"""The headers of a response that tell whose it is and when it was given."""

REQUEST_HEADERS = frozenset((b"authorization", b"openai-organization"))
"""The headers of a request that tell on whose behalf it was made."""


def picked(headers: Any, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the headers that are called ``names``, from the ``headers`` of httpx or httpx2.

    One pass over all of them is several times faster than looking up each. One that came several times
    is joined as both libraries do.
    """
    found: dict[bytes, bytes] = {}
    try:
        entries = headers._list  # noqa: SLF001 -- as they are kept: written, in lower case, and the value
    except AttributeError:
        entries = [(raw, raw.lower(), value) for raw, value in headers.raw]
    for _, lower, value in entries:
        if lower in names:
            found[lower] = value if lower not in found else found[lower] + b", " + value
    return found


def body_if_read(response: Any) -> object:
    """Return the JSON body of a response that the SDK has read to its end; None of any other."""
    if not response.is_stream_consumed:
        return None
    try:
        return response.json()
    except (RuntimeError, ValueError):  # it was streamed to the program, or is no JSON
        return None
