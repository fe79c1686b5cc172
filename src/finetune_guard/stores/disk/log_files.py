"""A guard against changes of the two files that SQLite keeps beside an open database.

SQLite maps the index of its log (``-shm``) into memory. Reading a mapped file after someone cut it
ends the process with SIGBUS, without any exception. And what is written to a log (``-wal``) that
someone deleted is lost.
"""

from __future__ import annotations

import os
from pathlib import Path

# More than SQLite maps for a log of 500 MB; the file is sparse, and goes with the last connection.
_ROOM = 1024 * 1024


class LogFiles:
    """The log of ``database`` and its index, as one connection has them open."""

    def __init__(self, database: Path) -> None:
        self._log = f"{database}-wal"
        self._index = f"{database}-shm"
        self._seen: dict[str, tuple[int, int]] = {}
        self._index_size = 0

    def unchanged(self) -> bool:
        """Tell whether they are still the files of before; an index that was cut gets its length back.

        What SQLite then finds in the index is no valid one, so that it makes it anew from the log.
        """
        index = self._same(self._index)
        if index is not None and index.st_size < self._index_size:
            os.truncate(self._index, _ROOM)  # by its name: to close a file would give up locks on it
        if index is not None:
            self._index_size = index.st_size
        return (index is not None or self._index not in self._seen) and (
            self._same(self._log) is not None or self._log not in self._seen
        )

    def _same(self, path: str) -> os.stat_result | None:
        try:
            found = os.stat(path)  # noqa: PTH116 (on the way of every read: half the time of Path.stat)
        except OSError:
            return None
        identity = found.st_dev, found.st_ino
        return found if self._seen.setdefault(path, identity) == identity else None
