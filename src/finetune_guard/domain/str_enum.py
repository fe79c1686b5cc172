"""Enumerations whose members are words: they read the same in text, JSON and comparisons."""

from __future__ import annotations

from enum import Enum


class StrEnum(str, Enum):
    """A member is its value, also in an f-string, which releases of Python else disagree about."""

    def __str__(self) -> str:
        return str(self.value)

    __hash__ = str.__hash__  # like the word that it equals, and without a step of Python's own
