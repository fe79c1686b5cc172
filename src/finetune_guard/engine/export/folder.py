"""The folder of an export: its files are written whole or not at all, and never through a link.

It is its owner's alone (0700, files 0600). Everything below it is reached from the folder's own descriptor,
directory by directory, so that no link planted meanwhile leads outside. Where the system has no such
descriptors (Windows), each step is looked at instead.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from finetune_guard.domain.errors import ExportError
from finetune_guard.rules.export import MANIFEST

if TYPE_CHECKING:
    from typing_extensions import Self

_HAS_DIRECTORY_FDS = {os.open, os.mkdir, os.rename, os.unlink} <= os.supports_dir_fd
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK  # opening a pipe must not wait
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
_PIECE = 1 << 20


def partial_name(name: str) -> str:
    """Return the name that a file has until it is whole."""
    return f".{name}.part"


class Folder:
    """A folder that is open until nothing uses it; who exports to it keeps others out until ``release``.

    Args:
        path: Where it is.
        make: Whether to write to it: it is made if it is missing, and nobody else can export to it meanwhile.

    Raises:
        ExportError: It can't be used; the message says why.
    """

    def __init__(self, path: str | os.PathLike[str], *, make: bool) -> None:
        self.path = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 -- resolve() follows links
        self._fd: int | None = None
        try:
            if self.path.is_symlink():
                self._refuse("it is a link", "Name the folder that the link leads to")
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.path.is_dir():
                self._refuse("there is no such folder", "Name the folder of an export")
            if _HAS_DIRECTORY_FDS:
                self._fd = os.open(self.path, _DIRECTORY)
                weakref.finalize(self, os.close, self._fd)
            if make:
                self._claim()
        except OSError as error:
            raise ExportError(f"The folder {str(self.path)!r} can't be used: {error.strerror}.") from error

    def _claim(self) -> None:
        names = set(os.listdir(self._fd if self._fd is not None else self.path))  # noqa: PTH208 -- of a descriptor
        if names - {partial_name(MANIFEST)} and MANIFEST not in names:
            self._refuse("it holds other files and no export", "Name a new folder, or an empty one")
        if self._fd is None:
            return
        import fcntl  # noqa: PLC0415 -- only POSIX has it

        found = os.fstat(self._fd)
        if found.st_uid != os.geteuid():
            self._refuse(f"it belongs to another user (uid {found.st_uid})", "Name a folder of your own")
        if stat.S_IMODE(found.st_mode) != 0o700:  # noqa: PLR2004 -- the mode itself
            os.fchmod(self._fd, 0o700)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse("another export is writing to it", "Wait until that has ended")
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:  # some network file systems
                raise

    def release(self) -> None:
        """Let others export to the folder."""
        if self._fd is not None:
            import fcntl  # noqa: PLC0415 -- as above

            with suppress(OSError):  # a file system without locks
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _refuse(self, why: str, remedy: str) -> NoReturn:
        raise ExportError(f"The folder {str(self.path)!r} is not used: {why}. {remedy}.", remedy=remedy)

    @contextmanager
    def new_file(self, name: str) -> Iterator[NewFile]:
        """Give a file to write; it is there under ``name`` only after ``commit``."""
        with self._place(name, make=True) as (last, directory):
            file = NewFile(last, directory)
        try:
            yield file
        finally:
            file.discard()

    def read(self, name: str) -> Iterator[bytes]:
        """Return the pieces of a file.

        Raises:
            OSError: It is missing, a link, or no plain file.
        """
        with self._place(name, make=False) as (last, directory):
            fd = os.open(last, _READ, dir_fd=directory)
        with open(fd, "rb") as file:  # noqa: PTH123 -- it is open already
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a plain file")
            while piece := file.read(_PIECE):
                yield piece

    def sum_of(self, name: str) -> tuple[str, int]:
        """Return the SHA-256 and the size of a file; the errors are those of ``read``."""
        total, size = hashlib.sha256(), 0
        for piece in self.read(name):
            total.update(piece)
            size += len(piece)
        return total.hexdigest(), size

    def names(self) -> Iterator[str]:
        """Return the paths of all whole files; links are listed and not followed."""
        walk = os.fwalk(dir_fd=self._fd) if self._fd is not None else os.walk(self.path)
        start = Path() if self._fd is not None else self.path
        for found in walk:
            above = Path(found[0]).relative_to(start)
            links = (name for name in found[1] if (self.path / above / name).is_symlink())
            for name in (*found[2], *links):
                if not (name.startswith(".") and name.endswith(".part")):
                    yield (above / name).as_posix()

    @contextmanager
    def _place(self, name: str, *, make: bool) -> Iterator[tuple[str, int | None]]:
        """Give the file's name in its directory and that one's descriptor, or its whole path and None."""
        *above, last = name.split("/")
        if self._fd is None:
            yield self._whole_path(above, last, make=make), None
            return
        fd = os.dup(self._fd)
        try:
            for part in above:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=fd)
                below = os.open(part, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            yield last, fd
        finally:
            os.close(fd)

    def _whole_path(self, above: list[str], last: str, *, make: bool) -> str:
        directory = self.path
        for part in above:
            directory /= part
            if make:
                directory.mkdir(mode=0o700, exist_ok=True)
            if directory.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not make and (directory / last).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return str(directory / last)


class NewFile:
    """A file that is being written, under another name until it is whole.

    Attributes:
        size: How many bytes were written.
    """

    def __init__(self, name: str, directory: int | None) -> None:
        parent, base = os.path.split(name)
        self._name, self._partial = name, os.path.join(parent, partial_name(base))  # noqa: PTH118 -- no Path
        self._directory = os.dup(directory) if directory is not None else None
        self._fd: int | None = None
        try:
            try:
                self._fd = os.open(self._partial, _WRITE, 0o600, dir_fd=self._directory)
            except FileExistsError:  # an export that was killed has left it
                os.unlink(self._partial, dir_fd=self._directory)
                self._fd = os.open(self._partial, _WRITE, 0o600, dir_fd=self._directory)
        finally:
            if self._fd is None:
                self._let_go()
        self.restart()

    def restart(self) -> Self:
        """Begin anew with an empty file."""
        assert self._fd is not None
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.ftruncate(self._fd, 0)
        self.size, self._sum = 0, hashlib.sha256()
        return self

    def write(self, data: bytes) -> None:
        """Add ``data`` at the end."""
        assert self._fd is not None
        self._sum.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def commit(self) -> tuple[str, int]:
        """Put the file in its place, and return its SHA-256 and size."""
        assert self._fd is not None
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = None
        os.replace(self._partial, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._let_go()
        return self._sum.hexdigest(), self.size

    def discard(self) -> None:
        """Remove what was written; nothing happens after ``commit``."""
        if self._fd is None:
            return
        os.close(self._fd)
        self._fd = None
        with suppress(OSError):
            os.unlink(self._partial, dir_fd=self._directory)
        self._let_go()

    def _let_go(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None
