"""Which names a store accepts, and how they become the keys of its rows."""

from __future__ import annotations

import json

from finetune_guard.stores.base import store_error

Row = tuple[str, ...]
"""The name of a row: its kind, then the names of what it is about."""

MAX_NAME_LENGTH = 512
"""Characters that the name of an organization, alias, model or lease may have at most."""


def checked(name: str) -> str:
    """Return ``name``, or raise a ``StoreError`` if it is too long to be kept or can't be printed."""
    if len(name) > MAX_NAME_LENGTH:
        problem = (
            f"A name of {len(name)} characters, {name[:40]!r}..., was refused: a store keeps names of at "
            f"most {MAX_NAME_LENGTH} characters."
        )
    elif not name.isprintable():
        problem = f"The name {name[:40]!a} was refused: it has characters that can't be printed."
    else:
        return name
    raise store_error(problem, "Use the organization's or the model's id as the API gives it.")


def key(kind: str, *names: str) -> str:
    """Return the key of a row: a JSON array, so that no two lists of names share a key."""
    return json.dumps([kind, *map(checked, names)], separators=(",", ":"))


def prefix(kind: str, *names: str) -> str:
    """Return what the keys of all rows below ``names`` begin with, and no other row's key."""
    return key(kind, *names)[:-1] + ","


def parts(key_text: str) -> tuple[str, ...]:
    """Return the kind and the names that ``key_text`` was made of; a ValueError if it is no key."""
    names = json.loads(key_text)
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError(f"{key_text[:80]!r} is not the key of a row")
    return tuple(names)
