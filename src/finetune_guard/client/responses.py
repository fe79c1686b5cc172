"""What is looked at in a response: some headers, and a body only if the SDK has read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_guard.domain.organizations import tells_whose
from finetune_guard.openai_api.completions import completing_model, fields_of, model_in

_CONTENT_TYPE = frozenset((b"content-type",))


def picked(headers: Any, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the headers that are called ``names``, from the ``headers`` of httpx or httpx2.

    One pass over all of them is several times faster than looking up each.
    """
    found: dict[bytes, bytes] = {}
    for _, name, value in _entries(headers):
        if name in names:
            found[name] = value if name not in found else found[name] + b", " + value
    return found


def keys_sent(headers: Any) -> tuple[bytes, ...]:
    """Return name and value, in turn, of each header of a request that tells whose it is."""
    found: list[bytes] = []
    for _, name, value in _entries(headers):
        if name not in _tell_nothing and (name in _tell_whose or _tells_whose(name)):
            found += name, value
    return tuple(found)


_MOST_NAMES = 1_000
_tell_nothing: set[bytes] = set()
_tell_whose: set[bytes] = set()
"""Names of headers by whether they tell whose a request is: the same few come with every request."""


def _tells_whose(name: bytes) -> bool:
    tells = tells_whose(name.decode("latin-1"))
    known = _tell_whose if tells else _tell_nothing
    if len(known) >= _MOST_NAMES:
        known.clear()
    known.add(name)
    return tells


def _entries(headers: Any) -> list[tuple[bytes, bytes, bytes]]:
    """Return name as written, name in lower case and value of each header, as both libraries keep them.

    One that came several times stands there several times; both libraries join the values by commas. Of
    what only stands in for such headers, as in a program's tests, a mapping is read and all else is empty.
    """
    try:
        entries = headers._list  # noqa: SLF001 -- the same in both libraries
    except AttributeError:
        entries = None
    if type(entries) is list:
        return entries
    if not isinstance(headers, Mapping):
        return []
    named = [(str(name).encode(), str(value).encode()) for name, value in headers.items()]
    return [(name, name.lower(), value) for name, value in named]


def body_if_read(response: Any) -> object:
    """Return the JSON body of a response that the SDK has read to its end; None of any other.

    What was read and is no JSON is returned as an empty text.
    """
    if not _is_read(response):
        return None
    try:
        return response.json()
    except RuntimeError:  # it was streamed to the program
        return None
    except ValueError:
        return ""


def model_shown(value: object, response: Any, requested: str | None) -> str | None:
    """Return the fine-tuned model that an answer shows to have run; None if it shows none.

    What the SDK has parsed tells it. Where a program parses for itself, the body does if it was read;
    otherwise the content type is all there is, and the model that was asked for is believed.

    Args:
        value: What the SDK made of the response; None where it failed.
        response: The response of httpx or httpx2.
        requested: The fine-tuned model that was asked for; None when the request named none.
    """
    fields = fields_of(value)
    if fields is not None and ("choices" in fields or "output" in fields or fields is value):
        return model_in(fields, requested)
    if not _is_read(response):
        return requested if requested is not None and _may_hold_completion(response.headers) else None
    if requested is None and not _may_name_fine_tune(response.content):
        return None
    return completing_model(body_if_read(response), requested)


def _is_read(response: Any) -> bool:
    return getattr(response, "is_stream_consumed", False) is True


def _may_hold_completion(headers: Any) -> bool:
    kinds = picked(headers, _CONTENT_TYPE).get(b"content-type", b"")
    kind = kinds.partition(b";")[0].strip().lower()
    return kind.endswith(b"json") or kind == b"text/event-stream"


def _may_name_fine_tune(content: object) -> bool:
    """Whether it is worth reading a body a second time, which takes longer than this search."""
    return isinstance(content, bytes) and (b"ft:" in content or b":ft-" in content)
