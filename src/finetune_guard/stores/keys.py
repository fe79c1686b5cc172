"""The names that a store accepts, and the keys of its rows."""

from __future__ import annotations

import json

from finetune_guard.domain.errors import StoreError

Row = tuple[str, ...]
"""The name of a row: its kind, then its names."""

MAX_NAME_LENGTH = 512
"""The most characters in the name of an organization, alias, model or lease."""


def check_name(name: str) -> str:
    """Return ``name``; raise a ``StoreError`` if it is too long or not printable."""
    if len(name) > MAX_NAME_LENGTH:
        problem = (
            f"A name of {len(name)} characters, {name[:40]!r}..., was refused: a store keeps names of at "
            f"most {MAX_NAME_LENGTH} characters."
        )
    elif not name.isprintable():
        problem = f"The name {name[:40]!a} was refused: it has characters that can't be printed."
    else:
        return name
    raise StoreError(problem, remedy="Use the organization's or the model's id as the API gives it.")


def key(kind: str, *names: str) -> str:
    """Return the key of a row: a JSON array, so that no two lists of names share a key."""
    return json.dumps([kind, *map(check_name, names)], separators=(",", ":"))


def prefix(kind: str, *names: str) -> str:
    """Return the common prefix of the keys of all rows under ``names``, and of no others."""
    return key(kind, *names)[:-1] + ","


def split_key(key_text: str) -> tuple[str, ...]:
    """Return the kind and names in ``key_text``; raise a ValueError if it is not a key."""
    names = json.loads(key_text)
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError(f"{key_text[:80]!r} is not the key of a row")
    return tuple(names)
