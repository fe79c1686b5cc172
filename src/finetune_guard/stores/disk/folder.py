"""The folder of a stored history: made for its owner alone, and refused when it is someone else's."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NoReturn

from finetune_guard.stores.errors import store_error

DATABASE = "cache.db"
"""The name of the database, which is diskcache's."""

_POSIX = os.name == "posix"
_OURS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "set-aside.lock")


def make(folder: Path) -> None:
    """Create ``folder`` and what is missing above it, each for its owner alone from the start."""
    for ancestor in (*reversed(folder.parents), folder):
        if not ancestor.exists():
            ancestor.mkdir(mode=0o700, exist_ok=True)


def make_database(folder: Path) -> None:
    """Create an empty database for its owner alone; SQLite gives the files beside it the same mode."""
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with contextlib.suppress(FileExistsError):
        # Only a file that is new is opened here: closing an older one would take away the locks that
        # SQLite holds on it in this process.
        os.close(os.open(folder / DATABASE, flags, 0o600))


def check(folder: Path) -> None:
    """Refuse ``folder`` when someone else may have written, or may write, what is in it.

    Raises:
        StoreError: It is not a folder, belongs to another user, can be written by others, or holds
            something else than plain files where the database's files are.
    """
    if not folder.is_dir():
        _refuse(folder, "it is not a folder", "Move the file away")
    if _POSIX:
        _check_owner(folder, folder.stat(), "chmod 700")
    for name in _OURS:
        try:
            found = (folder / name).lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            _refuse(folder, f"its {name} is not a plain file", f"Move {name} away")
        if _POSIX:
            _check_owner(folder / name, found, "chmod 600")
            if found.st_mode & 0o077:
                with contextlib.suppress(OSError):  # of a read-only folder, for example
                    (folder / name).chmod(0o600)


def check_link(location: Path) -> None:
    """Refuse ``location`` when it is a link that another user made."""
    if _POSIX and location.is_symlink() and location.lstat().st_uid not in {0, os.geteuid()}:
        _refuse(location, "it is a link that another user made", "Remove the link")


def _check_owner(path: Path, found: os.stat_result, command: str) -> None:
    if found.st_uid != os.geteuid():
        _refuse(
            path,
            f"it belongs to another user (uid {found.st_uid}, and this process is uid {os.geteuid()})",
            f"Run as that user, or: chown {os.geteuid()} {str(path)!r}",
        )
    if found.st_mode & 0o022:
        _refuse(
            path,
            f"other users can write to it (mode {stat.S_IMODE(found.st_mode):04o})",
            f"Run: {command} {str(path)!r}",
        )


def _refuse(path: Path, why: str, remedy: str) -> NoReturn:
    remedy += "; or set FINETUNE_GUARD_STORE to a folder of your own, or to memory."
    raise store_error(f"The history in {str(path)!r} is not used: {why}.", remedy)
