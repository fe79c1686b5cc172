"""A dictionary of limited size, so that an endless stream of names can't fill the memory."""

from __future__ import annotations

from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Bounded(dict[_K, _V]):
    """A dictionary that is cleared when it is full and a new key is set with ``[]``."""

    def __init__(self, most: int = 1_000) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: _K, value: _V) -> None:
        if len(self) >= self._most and key not in self:
            self.clear()
        super().__setitem__(key, value)
