"""Faults of the disk: full, read-only, locked, damaged or deleted; and no fault for comparison."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from afterwards import capture_warnings, row_after, row_during, summary
from counting import run_both_kinds
from processes import in_child
from stage import GUARDED, Stage

from table import Row

NOBODY = 65534

_CHECKPOINT = """
import os, shutil, sqlite3, sys
from glob import glob
folder = sys.argv[1]
database = folder + "/cache.db"
with sqlite3.connect(database) as connection:
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
connection.close()
"""
"""Move all data from SQLite's log to the file that is damaged."""

_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def nothing(stage: Stage) -> Row:
    """No fault, for comparison with the other rows."""
    return row_during(stage, nullcontext, "none")


def full(stage: Stage) -> Row:
    """Fill the disk of the history; free it again."""
    fault, how = _full_disk(stage)
    return row_during(stage, fault, f"disk full ({how})")


def full_from_the_start(stage: Stage) -> Row:
    """Fill the disk before the history exists."""
    fault, how = _full_disk(stage)
    config = stage.config()
    client = stage.clients(config)[GUARDED]  # keeps the unwritten notes alive
    with capture_warnings() as said, fault():
        tally = run_both_kinds(stage, config)
    what = f"disk full from the start ({how})"
    return row_after(config, tally, what, client=client, logged=summary(said))


def _full_disk(stage: Stage) -> tuple[Callable[[], AbstractContextManager[None]], str]:
    if _mounted(stage.history, "-t", "tmpfs", "-o", "size=1m,mode=700", "none"):
        return partial(_filled, stage.history), "a tmpfs of 1 MiB"
    return _no_larger_files, "RLIMIT_FSIZE 0: no file may grow"


def read_only(stage: Stage) -> Row:
    """Mount the history's folder read-only, then writable again."""
    folder, config = stage.history, stage.config()

    @contextmanager
    def fault() -> Iterator[None]:
        config.open_store().close()  # open files would stay writable
        subprocess.run(["mount", "--bind", "-o", "ro", str(folder), str(folder)], check=True)
        try:
            yield
        finally:
            config.open_store().close()
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    if not _mounted(folder, "--bind", str(folder)):
        return Row("folder read-only (a mount)", 0, 0, 0, "not tried: nothing can be mounted here", True)
    return row_during(stage, fault, "folder read-only (a read-only mount)", config=config)


def not_permitted(stage: Stage) -> Row:
    """Remove the user's write permission for the folder, then restore it."""
    folder, config = stage.history, stage.config()

    @contextmanager
    def fault() -> Iterator[None]:
        config.open_store().close()
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)

    def work() -> Row:
        if os.geteuid() == 0:  # root ignores the mode
            _import_everything(stage)
            os.chown(stage.folder, NOBODY, NOBODY)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return row_during(stage, fault, "folder read-only (mode 0500, not as root)", config=config)

    return in_child(work)


def locked(stage: Stage) -> Row:
    """Keep the database locked in another process."""
    seconds = 5 if stage.quick else 30
    what = f"database locked by another process for {seconds} s and more"
    return row_during(stage, partial(lock_database, stage.history), what, pace=seconds / stage.calls)


@contextmanager
def lock_database(folder: Path) -> Iterator[None]:
    """Lock the database in ``folder`` from another process."""
    program = [sys.executable, "-c", _LOCK, str(folder / "cache.db")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"locked\n"
        try:
            yield
        finally:
            other.stdin.close()


def truncated(stage: Stage) -> Row:
    """Truncate the database."""
    return _damaged(
        stage, _CHECKPOINT + "os.truncate(database, 5000)", "database cut to 5,000 bytes under us"
    )


def overwritten(stage: Stage) -> Row:
    """Overwrite the database with noise."""
    change = _CHECKPOINT + "open(database, 'r+b').write(os.urandom(50_000))"
    return _damaged(stage, change, "database overwritten with garbage under us")


def all_overwritten(stage: Stage) -> Row:
    """Overwrite SQLite's files beside the database too."""
    change = _CHECKPOINT + "[open(path, 'r+b').write(os.urandom(50_000)) for path in glob(folder + '/*')]"
    return _damaged(stage, change, "database and the files beside it overwritten with garbage under us")


def deleted(stage: Stage) -> Row:
    """Delete the database and the files beside it."""
    change = _CHECKPOINT + "[os.unlink(path) for path in glob(folder + '/*')]"
    return _damaged(stage, change, "database deleted under us", set_aside=False)


def folder_deleted(stage: Stage) -> Row:
    """Delete the whole folder."""
    return _damaged(stage, _CHECKPOINT + "shutil.rmtree(folder)", "folder deleted under us", set_aside=False)


def _damaged(stage: Stage, change: str, what: str, *, set_aside: bool = True) -> Row:
    """Run ``change`` in another process, since closing the file in this one would release SQLite's locks."""

    @contextmanager
    def fault() -> Iterator[None]:
        subprocess.run([sys.executable, "-c", change, str(stage.history)], check=True)
        yield

    row = row_during(stage, fault, what, kept=False)
    copies = {path.name.partition(".corrupt-")[2][:8] for path in stage.history.glob("cache.db.corrupt-*")}
    if set_aside and len(copies) != 1:
        return replace(row, caught_up=False, problem=f"{len(copies)} copies were set aside")
    return replace(row, history=f"{row.history}; the damaged file was kept") if set_aside else row


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    filler = folder.with_name("filler") if not folder.exists() else folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65_536
        while size:
            try:
                file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _no_larger_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _mounted(folder: Path, *how: str) -> bool:
    """Mount something at ``folder``, in this process's namespace only."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not os.environ.get("FAULTS_MAY_MOUNT"):
        return False
    return not subprocess.run(["mount", *how, str(folder)], capture_output=True, check=False).returncode


def _import_everything(stage: Stage) -> None:
    """Import everything now, since another user may not be able to read the packages."""
    import diskcache  # noqa: F401, PLC0415 -- only here
    import tenacity  # noqa: F401, PLC0415 -- only here

    run_both_kinds(stage, stage.config("memory"), calls=40)


FAULTS = {
    "none": nothing,
    "disk-full": full,
    "disk-full-from-the-start": full_from_the_start,
    "read-only-mount": read_only,
    "read-only-mode": not_permitted,
    "locked": locked,
    "truncated": truncated,
    "overwritten": overwritten,
    "all-overwritten": all_overwritten,
    "deleted": deleted,
    "folder-deleted": folder_deleted,
}
