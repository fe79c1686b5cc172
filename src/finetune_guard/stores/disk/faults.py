"""The kinds of errors of a history on disk, and a remedy for each."""

from __future__ import annotations

import errno
import sqlite3

from finetune_guard.stores.codec import UnreadableRowError
from finetune_guard.stores.contention import BusyError

# By their texts: sqlite3 gives error codes since Python 3.11 only.
_CONTENDED = ("is locked", "locking protocol")
_DAMAGED = ("not a database", "malformed", "unsupported file format")
_FULL = ("is full", "disk i/o error")
_READ_ONLY = ("readonly", "read-only", "unable to open")
_ELSEWHERE = "set FINETUNE_GUARD_STORE to a folder of your own, or to memory."


def is_contended(fault: BaseException) -> bool:
    """Tell whether trying again a little later may help."""
    return isinstance(fault, BusyError) or (
        isinstance(fault, sqlite3.OperationalError) and _says(fault, _CONTENDED)
    )


def is_damaged(fault: BaseException) -> bool:
    """Tell whether the file itself seems to be no sound database."""
    return isinstance(fault, sqlite3.DatabaseError) and _says(fault, _DAMAGED)


def summary(fault: BaseException) -> str:
    """Return why it failed, in one printable line: SQLite's words may quote what is in the file."""
    if isinstance(fault, (sqlite3.Error, UnreadableRowError, BusyError)):
        return "".join(letter if letter.isprintable() else "?" for letter in str(fault)[:200])
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return type(fault).__name__


def remedy(fault: BaseException) -> str:
    """Return what to do now."""
    code = getattr(fault, "errno", None)
    if is_contended(fault):
        return f"Look which process keeps the database locked; it was waited for. Else {_ELSEWHERE}"
    if code in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} or _says(fault, _FULL):
        return f"Make room on that disk, or {_ELSEWHERE}"
    if code in {errno.EACCES, errno.EPERM, errno.EROFS} or _says(fault, _READ_ONLY):
        return f"Make the folder writable for this user, or {_ELSEWHERE}"
    if isinstance(fault, UnreadableRowError) or is_damaged(fault):
        return f"Move cache.db out of that folder, and a new history is begun; or {_ELSEWHERE}"
    return f"Look at the error that this one is chained to, or {_ELSEWHERE}"


def _says(fault: BaseException, texts: tuple[str, ...]) -> bool:
    said = str(fault).lower()
    return isinstance(fault, sqlite3.Error) and any(text in said for text in texts)
