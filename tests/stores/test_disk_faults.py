"""What happens to a stored history when its disk, its clock or its neighbours misbehave."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.disk.store import DiskStore
from tests.stores.store_workers import damaged_copies, tamper
from tests.support.constants import HOUR, NOW

MODEL = "ft:gpt-4o-mini:acme::1"


def assert_left_alone(store, folder, activity, says):
    before = (folder / "cache.db").read_bytes()
    for call in (lambda: store.evidence("acme"), lambda: store.record("acme", [activity()])):
        with pytest.raises(StoreError, match=says) as caught:
            call()
        assert str(folder) in str(caught.value)
    assert before == (folder / "cache.db").read_bytes()


@pytest.mark.parametrize(
    ("version", "says"),
    [(2, "Upgrade finetune-guard"), (0, "not one of finetune-guard's"), ("2", "not one of finetune-guard's")],
)
def test_unknown_schema_version_is_neither_read_nor_changed(filled, folder, activity, version, says):
    tamper(folder, "UPDATE Cache SET value = ? WHERE key = ?", version, '["schema"]')
    assert_left_alone(filled, folder, activity, says)


@pytest.mark.parametrize("table", ["Cache", "Notes"])
def test_database_of_another_program_is_not_written(disk, folder, activity, table):
    folder.mkdir(parents=True, mode=0o700)
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        connection.execute(f"CREATE TABLE {table} (key, value)")
    assert_left_alone(disk, folder, activity, "not one of finetune-guard's")


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('BEGIN EXCLUSIVE')
print('locked', flush=True)
sys.stdin.read()
connection.execute('COMMIT')
"""


@pytest.fixture
def locked(filled, folder):
    """Another process that keeps the database locked until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(folder / "cache.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert b"locked\n" == process.stdout.readline()
        yield process
        process.stdin.close()


@pytest.mark.slow
def test_lock_of_another_process_delays_writes_and_no_reads(locked, filled, folder, activity):
    """The wait is bounded, and writing goes on once the lock is released."""
    with pytest.raises(StoreError, match="database is locked") as caught:
        filled.record("acme", [activity("ft:new:acme::2")])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert MODEL == filled.evidence("acme").last_inference.model
    assert {MODEL} == set(filled.history("acme").models)

    locked.stdin.close()
    patient = DiskStore(folder)
    patient.write_patience = timedelta(seconds=60)
    patient.record("acme", [activity("ft:new:acme::3")])
    assert {MODEL, "ft:new:acme::3"} == set(filled.history("acme").models)


FULL = """
import resource, sys
from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.disk.store import DiskStore
from tests.stores.store_workers import NOW, seen
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
store = DiskStore(sys.argv[1])
try:
    store.record("acme", [seen(f"ft:full:acme::{number:0400}", NOW) for number in range(1000)])
except StoreError as exc:
    sys.stderr.write(str(exc))
    sys.exit(len(store.history("acme").models))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX's")
@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("limit", [0, 5_000, 100_000])
def test_full_disk_refuses_the_whole_change_and_keeps_the_rest(folder, activity, existing, limit):
    with closing(DiskStore(folder)) as store:
        if existing:
            store.record("acme", [activity()])
    outcome = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", FULL, str(folder), str(limit)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert "Make room on that disk" in outcome.stderr
    assert int(existing) == outcome.returncode
    with closing(DiskStore(folder)) as store:
        assert int(existing) == len(store.history("acme").models)
        store.record("acme", [activity("ft:new:acme::2")])
        assert int(existing) + 1 == len(store.history("acme").models)
    assert [] == damaged_copies(folder)


def test_a_clock_set_back_frees_a_lease(disk, monkeypatch):
    """A lease that was taken while the clock was a year ahead does not last a year."""
    clock = [NOW.timestamp() + 365 * 86_400]
    monkeypatch.setattr("finetune_guard.stores.rows.time.time", lambda: clock[0])
    assert disk.lease("keep-alive", HOUR) is not None

    clock[0] = NOW.timestamp()
    assert disk.lease("keep-alive", HOUR) is not None
    clock[0] -= 60
    assert disk.lease("keep-alive", HOUR) is None
    clock[0] += 60 + 3600
    assert disk.lease("keep-alive", HOUR) is not None


@pytest.mark.slow
def test_unclosed_store_leaves_no_warning_and_no_file(folder):
    program = (
        "import sys\n"
        "from finetune_guard.stores.disk.store import DiskStore\n"
        "store = DiskStore(sys.argv[1])\n"
        "store.salt(create=True)\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ("", "") == (outcome.stdout, outcome.stderr)
    assert ["cache.db"] == [path.name for path in folder.iterdir()]
