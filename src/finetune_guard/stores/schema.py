"""The version of the form of keys and rows, and what happens when a store has another one."""

from __future__ import annotations

from finetune_guard.stores.errors import store_error

SCHEMA_VERSION = 1
"""The form of keys and rows; a store that says a higher one is left alone."""


def check_schema(version: object, where: str, elsewhere: str) -> None:
    """Refuse a history whose form this release does not know.

    Raises:
        StoreError: A later release wrote the history, or another program did.
    """
    if version == SCHEMA_VERSION:
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise store_error(
            f"The history {where} was not used: a newer finetune-guard wrote it (form {version}; this "
            f"release knows form {SCHEMA_VERSION}). Nothing was changed.",
            f"Upgrade finetune-guard, or {elsewhere}.",
        )
    raise store_error(
        f"The history {where} was not used: what is there is not one of finetune-guard's. "
        "Nothing was changed.",
        f"{elsewhere[:1].upper()}{elsewhere[1:]}.",
    )
