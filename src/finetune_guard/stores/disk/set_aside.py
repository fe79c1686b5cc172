"""Moving a damaged database out of the way: never deleted at once, and by one process only."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from finetune_guard.stores.contention import BusyError
from finetune_guard.stores.disk.faults import is_damaged, summary
from finetune_guard.stores.disk.folder import DATABASE, make_file

KEPT = 5
"""How many damaged databases are kept; the one set aside first goes when there is one more."""

_NAME = re.compile(re.escape(DATABASE) + r"\.corrupt-[0-9a-f]{8}")
_SUFFIXES = ("", "-wal", "-shm")
_log = logging.getLogger("finetune_guard.stores")


def set_aside(folder: Path, fault: BaseException) -> None:
    """Rename the database in ``folder``, and the files beside it, if it really is damaged.

    Raises:
        BusyError: Another process is about it.
    """
    with _alone(folder):
        # Another process may have been faster, and a stale connection sees damage where there is none.
        if not _damaged(folder / DATABASE):
            return
        name = f"{DATABASE}.corrupt-{secrets.token_hex(4)}"
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                (folder / f"{DATABASE}{suffix}").rename(folder / f"{name}{suffix}")
        _log.warning(
            "The history in %r was damaged (%s). It was set aside as %s, and a new one is begun: what was "
            "known is learnt anew from the next inferences.",
            str(folder),
            summary(fault),
            name,
        )
        _forget_oldest(folder)


def _damaged(database: Path) -> bool:
    try:
        connection = sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=0)
    except sqlite3.OperationalError:
        return False
    try:
        return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as exc:
        if is_damaged(exc):
            return True
        raise
    finally:
        connection.close()


def _forget_oldest(folder: Path) -> None:
    copies = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    for copy in sorted(copies, key=lambda path: path.lstat().st_ctime_ns)[:-KEPT]:
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                copy.with_name(copy.name + suffix).unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        import fcntl  # noqa: PLC0415 (not on Windows)
    except ImportError:
        # There, a file that another process has open can't be renamed at all.
        yield
        return
    lock = make_file(folder / "set-aside.lock")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BusyError("another process is setting the damaged database aside") from exc
        yield
    finally:
        os.close(lock)
