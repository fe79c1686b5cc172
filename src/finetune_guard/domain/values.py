"""The base classes of all value objects and enumerations."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable value that rejects undeclared fields."""

    # Before 2.10, pydantic warns about fields named model_...
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class StrEnum(str, Enum):
    """An enumeration whose members are formatted as their values on every release of Python."""

    def __str__(self) -> str:
        return str(self.value)

    __hash__ = str.__hash__  # the same as for the equal string, and faster
