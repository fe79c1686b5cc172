"""The error that every store raises: what was not done and why, and what to do now."""

from __future__ import annotations

from finetune_guard.domain.errors import StoreError


def store_error(what: str, remedy: str) -> StoreError:
    """Return the error whose message is ``what``, followed by ``remedy``."""
    return StoreError(f"{what} {remedy}", remedy=remedy)
