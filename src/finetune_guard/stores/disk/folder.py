"""The folder of a stored history: created for its owner alone, and refused if others can write to it.

Links in its path are followed if they belong to root or this user, or if nobody else can write to their
directory. No other account can have planted such a link.

The folder and its files must belong to this user and be writable only by them. There is one exception: a
group of this process may write to a folder of root or this user that has the setgid bit, which means that
the folder is shared within the group on purpose. Kubernetes mounts the volumes of a pod
with an ``fsGroup`` in this way. The files there may belong to anyone in the group.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import NoReturn

from finetune_guard.domain.errors import StoreError

DATABASE = "cache.db"
"""The name of the database, which is diskcache's."""

_POSIX = os.name == "posix"
_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "set-aside.lock")
_NO_FOLDER = ("it is not a folder", "Move the file away")
_MOST_LINKS = 40  # as many as Linux follows


def checked_folder(location: str, *, make: bool) -> Path | None:
    """Return the folder at ``location``, after creating it with an empty database if ``make``.

    Without ``make``, None is returned if there is no database yet.

    Raises:
        StoreError: It is not a folder, another user can write to it or its files or may have planted a link
            in its path, or the database's files are not plain files.
    """
    folder = _without_links(Path(location))
    if make:
        for ancestor in (*reversed(folder.parents), folder):
            if not os.path.lexists(ancestor):
                with contextlib.suppress(NotADirectoryError):  # refused below
                    ancestor.mkdir(mode=0o700, exist_ok=True)
    try:
        status = folder.stat()
    except NotADirectoryError:
        _refuse(folder, *_NO_FOLDER)
    except FileNotFoundError:
        if make:
            raise
        return None
    _check(folder, status)
    # Never open an existing file: closing it would drop SQLite's locks on it in this process.
    if not os.path.lexists(folder / DATABASE):
        if not make:
            return None
        os.close(make_file(folder / DATABASE))  # SQLite creates its other files with the same mode
    return folder


def _without_links(path: Path) -> Path:
    if not _POSIX:
        return path.resolve()
    resolved, names, links = "", [*reversed(path.parts[1:])], 0  # text: a Path takes several times as long
    while names:
        name = names.pop()
        step = resolved.rpartition("/")[0] if name == ".." else f"{resolved}/{name}"
        try:
            status = os.lstat(step or "/")
        except (FileNotFoundError, NotADirectoryError):
            status = None
        if status is None or not stat.S_ISLNK(status.st_mode):
            resolved = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if status.st_uid not in {0, os.geteuid()} and not _is_writable_by_us_alone(
            Path(resolved or "/").stat()
        ):
            _refuse(path, f"{step!r} is a link that another user made", "Remove the link")
        target = Path(step).readlink()
        resolved = "" if target.is_absolute() else resolved
        names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return Path(resolved or "/")


def make_file(path: Path) -> int:
    """Open a file in the folder for reading and writing, or create it; never follow a link."""
    mode = _file_mode(_shared_with(path.parent.stat()))
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    if _POSIX:
        os.fchmod(made, mode)  # whatever the umask is
    return made


def _check(folder: Path, folder_status: os.stat_result) -> None:
    if not stat.S_ISDIR(folder_status.st_mode):
        _refuse(folder, *_NO_FOLDER)
    group = _shared_with(folder_status)
    allowed = _file_mode(group)
    if _POSIX and group is None:
        _check_owner(folder, folder_status, None, "chmod 700")
    for name in _FILES:
        try:
            status = os.lstat(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode):
            _refuse(folder, f"its {name} is not a plain file", f"Move {name} away")
        if _POSIX:
            _check_owner(folder / name, status, group, f"chmod {allowed:o}")
            if stat.S_IMODE(status.st_mode) & ~allowed:
                with contextlib.suppress(OSError):  # of a read-only folder, for example
                    (folder / name).chmod(stat.S_IMODE(status.st_mode) & allowed)


def _file_mode(group: int | None) -> int:
    return 0o600 if group is None else 0o660


def _shared_with(folder_status: os.stat_result) -> int | None:
    if not _POSIX:
        return None
    bits = stat.S_ISGID | stat.S_IWGRP
    is_shared = folder_status.st_mode & (bits | stat.S_IWOTH) == bits
    if not is_shared or folder_status.st_uid not in {0, os.geteuid()}:
        return None
    return folder_status.st_gid if folder_status.st_gid in {os.getegid(), *os.getgroups()} else None


def _is_writable_by_us_alone(status: os.stat_result) -> bool:
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _check_owner(path: Path, status: os.stat_result, group: int | None, command: str) -> None:
    is_groups = status.st_gid == group
    sharing = "; or, to share it with all users of its group: chmod 2770"
    if status.st_uid != os.geteuid() and not is_groups:
        _refuse(
            path,
            f"it belongs to another user (uid {status.st_uid}, and this process is uid {os.geteuid()})",
            f"Run as that user, or: chown {os.geteuid()} {str(path)!r}",
        )
    if status.st_mode & (stat.S_IWOTH if is_groups else stat.S_IWOTH | stat.S_IWGRP):
        _refuse(
            path,
            f"other users can write to it (mode {stat.S_IMODE(status.st_mode):04o})",
            f"Run: {command} {str(path)!r}" + (sharing if stat.S_ISDIR(status.st_mode) else ""),
        )


def _refuse(path: Path, why: str, remedy: str) -> NoReturn:
    remedy += "; or set FINETUNE_GUARD_STORE to a folder of your own, or to memory."
    raise StoreError(f"The history in {str(path)!r} is not used: {why}.", remedy=remedy)
