"""The folder of a stored history: made for its owner alone, and refused when others decide what is in it.

On the way to the folder, a link is followed if it belongs to root or to this user, or if nobody else can
write the directory that it is in. No other account can have planted such a link.

The folder and its files must belong to this user, and nobody else may be able to write them. There is one
exception: a group that this process is in may write a folder of root's or of this user's that has the setgid
bit, which says that the folder is shared within the group on purpose. Kubernetes mounts the volumes of a pod
with an ``fsGroup`` in this way. The files there may belong to anyone in the group.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import NoReturn

from finetune_guard.stores.base import store_error

DATABASE = "cache.db"
"""The name of the database, which is diskcache's."""

_POSIX = os.name == "posix"
_OURS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "set-aside.lock")
_MOST_LINKS = 40  # as many as Linux follows


def checked_folder(location: str, *, make: bool) -> Path | None:
    """Return the folder that ``location`` names, made with an empty database if ``make`` says so.

    Returns:
        None where there is no database yet.

    Raises:
        StoreError: It is not a folder, someone else may have written, or may write, what is in it or have
            planted a link on the way to it, or the database's files are not plain files.
    """
    folder = _without_links(Path(location))
    if make:
        for ancestor in (*reversed(folder.parents), folder):
            if not os.path.lexists(ancestor):
                with contextlib.suppress(NotADirectoryError):  # which is refused below
                    ancestor.mkdir(mode=0o700, exist_ok=True)
    else:
        try:
            folder.stat()
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            pass
    _check(folder)
    # An older file is not opened: to close it would take away the locks that SQLite holds on it here.
    if make and not os.path.lexists(folder / DATABASE):
        os.close(make_file(folder / DATABASE))  # SQLite gives the files beside it the same mode
    return folder if (folder / DATABASE).exists() else None


def _without_links(path: Path) -> Path:
    if not _POSIX:
        return path.resolve()
    place, names, links = "", [*reversed(path.parts[1:])], 0  # text: a Path takes several times as long
    while names:
        name = names.pop()
        step = place.rpartition("/")[0] if name == ".." else f"{place}/{name}"
        try:
            found = os.lstat(step or "/")
        except (FileNotFoundError, NotADirectoryError):
            found = None
        if found is None or not stat.S_ISLNK(found.st_mode):
            place = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if found.st_uid not in {0, os.geteuid()} and not _is_writable_by_us_alone(Path(place or "/").stat()):
            _refuse(path, f"{step!r} is a link that another user made", "Remove the link")
        target = Path(step).readlink()
        place = "" if target.is_absolute() else place
        names += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return Path(place or "/")


def make_file(path: Path) -> int:
    """Open a file of the folder to read and write, unless it is a link; it is made if it is missing."""
    mode = _file_mode(path.parent.stat())
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        made = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags)
    if _POSIX:
        os.fchmod(made, mode)  # whatever the umask is
    return made


def _check(folder: Path) -> None:
    if not folder.is_dir():
        _refuse(folder, "it is not a folder", "Move the file away")
    of_folder = folder.stat()
    group = _shared_with(of_folder)
    if _POSIX and group is None:
        _check_owner(folder, of_folder, None, "chmod 700")
    for name in _OURS:
        try:
            found = os.lstat(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(found.st_mode):
            _refuse(folder, f"its {name} is not a plain file", f"Move {name} away")
        if _POSIX:
            allowed = _file_mode(of_folder)
            _check_owner(folder / name, found, group, f"chmod {allowed:o}")
            if stat.S_IMODE(found.st_mode) & ~allowed:
                with contextlib.suppress(OSError):  # of a read-only folder, for example
                    (folder / name).chmod(stat.S_IMODE(found.st_mode) & allowed)


def _file_mode(of_folder: os.stat_result) -> int:
    return 0o600 if _shared_with(of_folder) is None else 0o660


def _shared_with(of_folder: os.stat_result) -> int | None:
    if not _POSIX:
        return None
    bits = stat.S_ISGID | stat.S_IWGRP
    is_shared = of_folder.st_mode & (bits | stat.S_IWOTH) == bits
    if not is_shared or of_folder.st_uid not in {0, os.geteuid()}:
        return None
    return of_folder.st_gid if of_folder.st_gid in {os.getegid(), *os.getgroups()} else None


def _is_writable_by_us_alone(found: os.stat_result) -> bool:
    return found.st_uid in {0, os.geteuid()} and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _check_owner(path: Path, found: os.stat_result, group: int | None, command: str) -> None:
    is_groups = found.st_gid == group
    sharing = "; or, to share it with all users of its group: chmod 2770"
    if found.st_uid != os.geteuid() and not is_groups:
        _refuse(
            path,
            f"it belongs to another user (uid {found.st_uid}, and this process is uid {os.geteuid()})",
            f"Run as that user, or: chown {os.geteuid()} {str(path)!r}",
        )
    if found.st_mode & (stat.S_IWOTH if is_groups else stat.S_IWOTH | stat.S_IWGRP):
        _refuse(
            path,
            f"other users can write to it (mode {stat.S_IMODE(found.st_mode):04o})",
            f"Run: {command} {str(path)!r}" + (sharing if stat.S_ISDIR(found.st_mode) else ""),
        )


def _refuse(path: Path, why: str, remedy: str) -> NoReturn:
    remedy += "; or set FINETUNE_GUARD_STORE to a folder of your own, or to memory."
    raise store_error(f"The history in {str(path)!r} is not used: {why}.", remedy)
