"""What diskcache may put into a row and take out of it: text and plain numbers, nothing else.

``diskcache.Disk`` unpickles rows of mode 4 and keys that aren't raw, opens files that a row names and
deletes them. Whoever can write the folder decides what those rows say (CVE-2025-69872), so here
every one of these ways ends in a refusal.
"""

from __future__ import annotations

from typing import Any, NoReturn

import diskcache

from finetune_guard.stores.errors import store_error


class PlainDisk(diskcache.Disk):  # type: ignore[misc]  # its base is untyped
    """A ``diskcache.Disk`` that never pickles, unpickles, or touches a file."""

    def __init__(self, directory: str, **_settings: object) -> None:
        # The settings come from the database file, too: none of them is listened to.
        super().__init__(directory)

    def put(self, key: object) -> tuple[str, bool]:
        """Return ``key`` as the database has it."""
        if type(key) is not str:
            raise TypeError(f"keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return a key that was read; refuse one that would have to be unpickled."""
        if type(key) is not str or raw != 1:
            self._refuse("a key that is not plain text")
        return key

    def store(
        self, value: object, read: object, key: object = diskcache.UNKNOWN
    ) -> tuple[int, int, None, str | int | float]:
        """Return the columns of ``value``: always in the row itself, however long it is."""
        if read or type(value) not in {str, int, float}:
            raise TypeError(f"values are text or plain numbers, not {type(value).__name__} ({key!r:.80})")
        assert isinstance(value, (str, int, float))
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: object) -> str | int | float:
        """Return a value that was read; refuse one that is pickled, binary or in a file."""
        if read or filename is not None:
            self._refuse("a value that points to a file")
        if mode != diskcache.core.MODE_RAW or type(value) not in {str, int, float}:
            self._refuse("a value that is not plain text or a number")
        assert isinstance(value, (str, int, float))
        return value

    def remove(self, file_path: object) -> None:
        """Do nothing: a file that a row names is not ours to delete."""

    def _refuse(self, what: str) -> NoReturn:
        raise store_error(
            f"The history in {self._directory!r} was not read: it holds {what}. finetune-guard never writes "
            "such a row, so someone else did; it was neither executed nor followed.",
            "Find out who can write to that folder, and move its cache.db away; a new one is begun.",
        )

    _directory: Any
