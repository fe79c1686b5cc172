"""What happens when the files beside a stored history are cut, overwritten or deleted while it is in use."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing

import pytest

from finetune_guard.stores.disk.store import DiskStore
from tests.stores.store_workers import context_of

LOGS = ["cache.db-shm", "cache.db-wal"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="files in use can't be changed here"
    ),
]


@pytest.fixture
def elsewhere(filled, folder):
    """Another process that has the database open, so that SQLite keeps its files."""
    context = context_of("fork")
    opened, may_end = context.Event(), context.Event()

    def keep_open():
        connection = sqlite3.connect(folder / "cache.db")
        connection.execute("SELECT * FROM Cache").fetchall()
        opened.set()
        may_end.wait()

    process = context.Process(target=keep_open)
    process.start()
    assert opened.wait(60)
    yield
    process.kill()
    process.join()


@pytest.mark.parametrize("names", [LOGS[:1], LOGS[1:], LOGS], ids=" ".join)
@pytest.mark.parametrize("content", [b"", b"garbage" * 10_000, None], ids=["cut", "garbage", "deleted"])
def test_cut_overwritten_or_deleted_log_files_kill_no_process(elsewhere, folder, activity, names, content):
    """There is no SIGBUS, and the store stays usable."""

    def work():
        with closing(DiskStore(folder)) as store:
            for name in ("umbrella", "other"):
                store.record(name, [activity()])
                assert store.evidence(name).last_inference is not None

    for name in names:
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    process = context_of("fork").Process(target=work)
    process.start()
    process.join()
    assert 0 == process.exitcode
    assert {"umbrella", "other"} <= set(DiskStore(folder).organizations())
