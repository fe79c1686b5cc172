"""The bases of all values here: what is never changed, and enumerations whose members are words."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """It is never changed, and has no other fields than it declares."""

    # Before 2.10 pydantic warns of fields that are called model_...
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class StrEnum(str, Enum):
    """A member is its value, also in an f-string, which releases of Python else disagree about."""

    def __str__(self) -> str:
        return str(self.value)

    __hash__ = str.__hash__  # like the word that it equals, and without a step of Python's own
