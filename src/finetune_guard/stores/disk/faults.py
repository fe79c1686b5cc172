"""Errors of a history on disk, a remedy for each, and moving a damaged database aside."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from finetune_guard.stores.codec import UnreadableRowError
from finetune_guard.stores.contention import BusyError
from finetune_guard.stores.disk.folder import DATABASE, make_file

MOST_COPIES = 5
"""The most damaged databases that are kept; the oldest is deleted first."""

_NAME = re.compile(re.escape(DATABASE) + r"\.corrupt-[0-9a-f]{8}")
_SUFFIXES = ("", "-wal", "-shm")
_log = logging.getLogger("finetune_guard.stores")
# By text: sqlite3 has error codes only since Python 3.11.
_CONTENDED = ("is locked", "locking protocol")
_DAMAGED = ("not a database", "malformed", "unsupported file format")
_FULL = ("is full", "disk i/o error")
_READ_ONLY = ("readonly", "read-only", "unable to open")
_ELSEWHERE = "set FINETUNE_GUARD_STORE to a folder of your own, or to memory."


class ForeignRowError(ValueError):
    """A row of a kind that this library never writes; the message says which."""


def is_contended(fault: BaseException) -> bool:
    """Whether a retry a little later may help."""
    return isinstance(fault, BusyError) or (
        isinstance(fault, sqlite3.OperationalError) and _mentions(fault, _CONTENDED)
    )


def is_damaged(fault: BaseException) -> bool:
    """Whether the file itself seems to be damaged."""
    return isinstance(fault, sqlite3.DatabaseError) and _mentions(fault, _DAMAGED)


def summary(fault: BaseException) -> str:
    """Return the reason in one printable line: SQLite's message may quote the file's content."""
    if isinstance(fault, ForeignRowError):
        return (
            f"it holds {fault}. finetune-guard never writes such a row, so someone else did; it was neither "
            "executed nor followed"
        )
    if isinstance(fault, (sqlite3.Error, UnreadableRowError, BusyError)):
        return "".join(letter if letter.isprintable() else "?" for letter in str(fault)[:200])
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return type(fault).__name__


def remedy(fault: BaseException) -> str:
    """Return an instruction for the user."""
    code = getattr(fault, "errno", None)
    if is_contended(fault):
        return f"Look which process keeps the database locked; it was waited for. Else {_ELSEWHERE}"
    if code in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} or _mentions(fault, _FULL):
        return f"Make room on that disk, or {_ELSEWHERE}"
    if code in {errno.EACCES, errno.EPERM, errno.EROFS} or _mentions(fault, _READ_ONLY):
        return f"Make the folder writable for this user, or {_ELSEWHERE}"
    if isinstance(fault, ForeignRowError):
        return f"Find out who can write to that folder, and move its cache.db away; or {_ELSEWHERE}"
    if isinstance(fault, UnreadableRowError) or is_damaged(fault):
        return f"Move cache.db out of that folder, and a new history is begun; or {_ELSEWHERE}"
    return f"Look at the error that this one is chained to, or {_ELSEWHERE}"


def _mentions(fault: BaseException, texts: tuple[str, ...]) -> bool:
    message = str(fault).lower()
    return isinstance(fault, sqlite3.Error) and any(text in message for text in texts)


def set_aside(folder: Path, fault: BaseException) -> None:
    """Rename the database in ``folder``, and the files beside it, if it really is damaged.

    Raises:
        BusyError: Another process is doing the same.
    """
    with _exclusive_lock(folder):
        # Check again: another process may have been faster, or the connection was stale.
        if not _is_damaged_file(folder / DATABASE):
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
        _delete_oldest(folder)


def _is_damaged_file(database: Path) -> bool:
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


def _delete_oldest(folder: Path) -> None:
    copies = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    for copy in sorted(copies, key=lambda path: path.lstat().st_ctime_ns)[:-MOST_COPIES]:
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                copy.with_name(copy.name + suffix).unlink()


@contextlib.contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    try:
        import fcntl  # noqa: PLC0415 (not on Windows)
    except ImportError:
        # On Windows, a file that another process has open can't be renamed at all.
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
