"""A dictionary that stays small: names that come without end must not fill the memory."""

from __future__ import annotations

from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Bounded(dict[_K, _V]):
    """A dictionary that begins anew when it is full and another key is set with ``[]``."""

    def __init__(self, most: int = 1_000) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: _K, value: _V) -> None:
        if len(self) >= self._most and key not in self:
            self.clear()
        super().__setitem__(key, value)
