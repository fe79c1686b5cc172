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
from tests.stores.store_workers import aside, tamper
from tests.support.constants import HOUR, NOW

MODEL = "ft:gpt-4o-mini:acme::1"


def left_alone(store, folder, activity, says):
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
def test_another_form_is_left_alone(filled, folder, activity, version, says):
    """What a later release wrote, or no release, is neither read nor changed; the error says what to do."""
    tamper(folder, "UPDATE Cache SET value = ? WHERE key = ?", version, '["schema"]')
    left_alone(filled, folder, activity, says)


@pytest.mark.parametrize("table", ["Cache", "Notes"])
def test_another_programs_database_is_left_alone(disk, folder, activity, table):
    """A cache.db that some other program keeps in that folder is not written to."""
    folder.mkdir(parents=True, mode=0o700)
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        connection.execute(f"CREATE TABLE {table} (key, value)")
    left_alone(disk, folder, activity, "not one of finetune-guard's")


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
def test_a_lock_of_another_process(locked, filled, folder, activity):
    """It keeps nobody from reading. Writing waits a bounded time, and goes on when it is given back."""
    with pytest.raises(StoreError, match="database is locked") as caught:
        filled.record("acme", [activity("ft:new:acme::2")])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert MODEL == filled.evidence("acme").last_inference.model
    assert {MODEL} == set(filled.history("acme").models)

    locked.stdin.close()
    DiskStore(folder, write_patience=timedelta(seconds=60)).record("acme", [activity("ft:new:acme::3")])
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
def test_a_full_disk_loses_nothing(folder, activity, existing, limit):
    """What doesn't fit is refused as a whole, and what was there before is still there, and is read."""
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
    assert [] == aside(folder)


def test_a_clock_set_back_frees_a_lease(disk, monkeypatch):
    """A lease that was taken while the clock was a year ahead does not bar everyone for a year."""
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
def test_a_store_nobody_closed_warns_of_nothing(folder):
    """A program that just ends leaves neither a warning nor a file beside the database."""
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
