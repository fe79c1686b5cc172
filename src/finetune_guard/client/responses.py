"""What is looked at in a response: some headers, and a body only if the SDK has read it."""

from __future__ import annotations

from typing import Any

from finetune_guard.domain.organizations import tells_whose

ANSWER_HEADERS = frozenset((b"date", b"openai-organization", b"openai-project"))
"""The headers of a response that tell whose it is and when it was given."""


def picked(headers: Any, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the headers that are called ``names``, from the ``headers`` of httpx or httpx2.

    One pass over all of them is several times faster than looking up each.
    """
    found: dict[bytes, bytes] = {}
    for _, name, value in _entries(headers):
        if name in names:
            found[name] = value if name not in found else found[name] + b", " + value
    return found


def picked_keys(headers: Any) -> dict[bytes, bytes]:
    """Return the headers of a request that tell whose it is, from the ``headers`` of httpx or httpx2."""
    found: dict[bytes, bytes] = {}
    for _, name, value in _entries(headers):
        if name not in _tell_nothing and _tells_whose(name):
            found[name] = value if name not in found else found[name] + b", " + value
    return found


_MOST_NAMES = 1_000
_tell_nothing: set[bytes] = set()
"""Names of headers that don't tell whose a request is: most of them, and the same at every request."""


def _tells_whose(name: bytes) -> bool:
    if tells_whose(name.decode("latin-1")):
        return True
    if len(_tell_nothing) >= _MOST_NAMES:
        _tell_nothing.clear()
    _tell_nothing.add(name)
    return False


def _entries(headers: Any) -> list[tuple[bytes, bytes, bytes]]:
    """Return name as written, name in lower case and value of each header, as both libraries keep them.

    One that came several times stands there several times; both libraries join the values by commas.
    """
    try:
        return headers._list  # type: ignore[no-any-return]  # noqa: SLF001
    except AttributeError:
        return [(raw, raw.lower(), value) for raw, value in headers.raw]


def body_if_read(response: Any) -> object:
    """Return the JSON body of a response that the SDK has read to its end; None of any other."""
    if not response.is_stream_consumed:
        return None
    try:
        return response.json()
    except (RuntimeError, ValueError):  # it was streamed to the program, or is no JSON
        return None
