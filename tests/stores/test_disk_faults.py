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


def test_a_newer_history_is_left_alone(filled, folder, activity):
    """What a later release wrote is neither read nor changed; the error says to upgrade."""
    tamper(folder, "UPDATE Cache SET value = 2 WHERE key = ?", '["schema"]')
    before = (folder / "cache.db").read_bytes()

    for call in (lambda: filled.evidence("acme"), lambda: filled.record("acme", [activity()])):
        with pytest.raises(StoreError, match="Upgrade finetune-guard") as caught:
            call()
        assert str(folder) in str(caught.value)
    filled.close()
    assert before == (folder / "cache.db").read_bytes()


@pytest.mark.parametrize("version", [0, -1, "2", "one", 1.5])
def test_an_unknown_form_is_left_alone(filled, folder, version):
    """A form that never was is not read either."""
    tamper(folder, "UPDATE Cache SET value = ? WHERE key = ?", version, '["schema"]')

    with pytest.raises(StoreError, match="not one of finetune-guard's"):
        filled.evidence("acme")


@pytest.mark.parametrize("table", ["Cache", "Notes"])
def test_another_programs_database_is_left_alone(disk, folder, activity, table):
    """A cache.db that some other program keeps in that folder is not written to."""
    folder.mkdir(parents=True, mode=0o700)
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        connection.execute(f"CREATE TABLE {table} (key, value)")
    before = (folder / "cache.db").read_bytes()

    for call in (lambda: disk.evidence("acme"), lambda: disk.record("acme", [activity()])):
        with pytest.raises(StoreError, match="not one of finetune-guard's"):
            call()
    assert before == (folder / "cache.db").read_bytes()


@pytest.fixture
def locked(filled, folder):
    """Another process that keeps the database locked until its input ends."""
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN EXCLUSIVE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "connection.execute('COMMIT')\n"
        "connection.close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "cache.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert b"locked\n" == process.stdout.readline()
        yield process
        process.stdin.close()


@pytest.mark.slow
def test_reading_does_not_wait_for_a_lock(locked, filled):
    """While another process keeps the database locked a decision is made all the same, from the start."""
    assert MODEL == filled.evidence("acme").last_inference.model
    assert {MODEL} == set(filled.history("acme").models)


@pytest.mark.slow
def test_writing_waits_for_a_lock_a_bounded_time(locked, filled, activity):
    """A lock that isn't given back ends as an error that says what it was, and nothing is half-written."""
    with pytest.raises(StoreError, match="database is locked") as caught:
        filled.record("acme", [activity("ft:new:acme::2")])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert {MODEL} == set(filled.history("acme").models)


@pytest.mark.slow
def test_writing_goes_on_when_the_lock_is_given_back(locked, filled, folder, activity):
    """A lock that is given back in time is not noticed."""
    with closing(DiskStore(folder, write_patience=timedelta(seconds=60))) as patient:
        with pytest.raises(StoreError):
            filled.record("acme", [activity("ft:new:acme::2")])
        locked.stdin.close()
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
@pytest.mark.parametrize("limit", [0, 5_000, 40_000, 100_000])
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
