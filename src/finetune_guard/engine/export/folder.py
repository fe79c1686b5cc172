"""The folder of an export, with files written completely or not at all, never through a link."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from finetune_guard.domain.errors import ExportError
from finetune_guard.rules.export import MANIFEST

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK  # opening a pipe must not wait
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
_PIECE = 1 << 20


def _partial_name(name: str) -> str:
    """Return the name of a file until it is complete."""
    return f".{name}.part"


class Folder:
    """A folder of files that only its owner can read (0700, files 0600).

    With ``make`` it is made if it is missing, and nobody else can export to it until ``release``. An
    ``ExportError`` says why it can't be used.
    """

    def __init__(self, path: str | os.PathLike[str], *, make: bool) -> None:
        self._claimed: weakref.finalize[[int], Folder] | None = None
        self.path = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 -- resolve() follows links
        try:
            if self.path.is_symlink():
                self._refuse("it is a link", "Name the folder that the link leads to")
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.path.is_dir():
                self._refuse("there is no such folder", "Name the folder of an export")
            if make:
                self._claim()
        except OSError as error:
            raise ExportError(f"The folder {str(self.path)!r} can't be used: {error.strerror}.") from error

    def _claim(self) -> None:
        names = {each.name for each in self.path.iterdir()}
        if names - {_partial_name(MANIFEST)} and MANIFEST not in names:
            self._refuse("it holds other files and no export", "Name a new folder, or an empty one")
        if os.name != "posix":
            return
        import fcntl  # noqa: PLC0415 -- only POSIX has it

        owner = self.path.stat().st_uid
        if owner != os.geteuid():
            self._refuse(f"it belongs to another user (uid {owner})", "Name a folder of your own")
        self.path.chmod(0o700)
        claim = os.open(self.path, os.O_RDONLY | _NO_LINK)
        self._claimed = weakref.finalize(self, _let_go, claim)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse("another export is writing to it", "Wait until that has ended")
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:  # some network file systems
                raise

    def release(self) -> None:
        """Unlock the folder for other exports."""
        if self._claimed is not None:
            self._claimed()

    def _refuse(self, why: str, remedy: str) -> NoReturn:
        raise ExportError(f"The folder {str(self.path)!r} is not used: {why}.", remedy=f"{remedy}.")

    @contextmanager
    def new_file(self, name: str) -> Iterator[NewFile]:
        """Return a file to write; it appears under ``name`` only after ``commit``."""
        file = NewFile(self._path_of(name, make=True))
        try:
            yield file
        finally:
            file.discard()

    def read(self, name: str) -> Iterator[bytes]:
        """Return a file in chunks; raises ``OSError`` if it is missing, a link, or no plain file."""
        path = self._path_of(name, make=False)
        _must_be_no_link(path)
        with open(os.open(path, _READ), "rb") as file:  # noqa: PTH123 -- it is open already
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a plain file")
            while piece := file.read(_PIECE):
                yield piece

    def sum_of(self, name: str) -> tuple[str, int]:
        """Return the SHA-256 and the size of a file; raises like ``read``."""
        total, size = hashlib.sha256(), 0
        for piece in self.read(name):
            total.update(piece)
            size += len(piece)
        return total.hexdigest(), size

    def names(self) -> Iterator[str]:
        """Return the paths of all complete files; links are listed but not followed."""
        for above, folders, files in os.walk(self.path):
            links = (name for name in folders if Path(above, name).is_symlink())
            for name in (*files, *links):
                if not (name.startswith(".") and name.endswith(".part")):
                    yield Path(above, name).relative_to(self.path).as_posix()

    def _path_of(self, name: str, *, make: bool) -> Path:
        """Return the path of a file, after making sure that no folder on the way to it is a link."""
        *above, last = name.split("/")
        path = self.path
        for part in above:
            path /= part
            if make:
                path.mkdir(mode=0o700, exist_ok=True)
            _must_be_no_link(path)
        return path / last


class NewFile:
    """A file being written, under another name until it is complete; ``size`` is its size so far."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(_partial_name(path.name))
        self._partial.unlink(missing_ok=True)  # an export that was killed may have left it
        self._file = open(os.open(self._partial, _WRITE, 0o600), "wb", buffering=0)  # noqa: PTH123, SIM115 -- see discard
        self.restart()

    def restart(self) -> None:
        """Start again with an empty file."""
        self._file.seek(0)
        self._file.truncate()
        self.size, self._sum = 0, hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Add ``data`` at the end."""
        self._sum.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def commit(self) -> tuple[str, int]:
        """Give the file its final name, and return its SHA-256 and size."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        return self._sum.hexdigest(), self.size

    def discard(self) -> None:
        """Remove the partial file; does nothing after ``commit``."""
        self._file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)


def _let_go(claim: int) -> None:
    import fcntl  # noqa: PLC0415 -- as above

    with suppress(OSError):  # a file system without locks
        fcntl.flock(claim, fcntl.LOCK_UN)  # a process that was forked meanwhile has the descriptor as well
    os.close(claim)


def _must_be_no_link(path: Path) -> None:
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
