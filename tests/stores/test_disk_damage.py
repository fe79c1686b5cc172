"""What happens to a stored history when its file is damaged, deleted or replaced."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from operator import methodcaller

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.disk.faults import MOST_COPIES
from finetune_guard.stores.disk.store import DiskStore
from tests.stores.store_workers import answers, damaged_copies
from tests.support.constants import NOW


@pytest.fixture
def damaged(filled, folder):
    (folder / "cache.db").write_bytes(b"garbage" * 1000)
    return filled


DAMAGES = {
    "overwritten": lambda content: b"garbage" * 1000,
    "overwritten after the header": lambda content: content[:100] + b"\xff" * (len(content) - 100),
    "cut": lambda content: content[:5000],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("first", ["read", "write"])
def test_damaged_database_is_set_aside_and_a_new_one_begun(filled, folder, activity, caplog, damage, first):
    filled.evidence("acme")
    content = damage((folder / "cache.db").read_bytes())
    (folder / "cache.db").write_bytes(content)

    with caplog.at_level(logging.WARNING, "finetune_guard.stores"):
        if first == "read":
            filled.evidence("acme")
        filled.record("umbrella", [activity("ft:new:umbrella::1")])

    assert "umbrella" in filled.organizations()
    assert "ft:new:umbrella::1" == filled.evidence("umbrella").last_inference.model
    (record,) = caplog.records
    assert str(folder) in record.getMessage()
    assert content in [path.read_bytes() for path in damaged_copies(folder)]
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}


LOSSES = {
    "the file": lambda folder: (folder / "cache.db").unlink(),
    "the folder": shutil.rmtree,
    "its content": lambda folder: (folder / "cache.db").write_bytes(b""),
}


@pytest.mark.parametrize("lost", LOSSES)
def test_deleted_or_emptied_database_is_noticed(filled, folder, activity, lost):
    """Nothing is written to a file that nobody would find."""
    filled.evidence("acme")
    LOSSES[lost](folder)

    assert () == filled.organizations()
    filled.record("umbrella", [activity()])
    assert ("umbrella",) == DiskStore(folder).organizations()
    assert [] == damaged_copies(folder)


def test_only_the_latest_few_damaged_databases_are_kept(filled, folder, activity):
    for number in range(MOST_COPIES + 3):
        (folder / "cache.db").write_bytes(b"garbage %d" % number * 100)
        filled.record("acme", [activity()])
        filled.close()

    assert {b"garbage %d" % number * 100 for number in range(3, MOST_COPIES + 3)} == {
        path.read_bytes() for path in damaged_copies(folder)
    }


def test_database_set_aside_while_being_opened_is_opened_again(filled, folder, activity, monkeypatch):
    connect = sqlite3.connect

    def late(*args, **kwargs):
        monkeypatch.setattr(sqlite3, "connect", connect)
        (folder / "cache.db").rename(folder / "moved")
        return connect(*args, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", late)
    filled.record("umbrella", [activity()])
    assert ("umbrella",) == filled.organizations()


@pytest.mark.slow
def test_one_of_several_processes_sets_the_damaged_database_aside(damaged, folder, activity):
    """None of them loses what it records."""
    assert [None] * 4 == answers(str(folder), [methodcaller("record", "acme", [activity()])] * 4)
    assert 1 == len(damaged_copies(folder))
    assert 4 == sum(damaged.history("acme").daily[NOW.date()].values())


def test_waiting_for_another_process_to_set_aside_is_bounded(damaged, folder, activity):
    fcntl = pytest.importorskip("fcntl")
    with (folder / "set-aside.lock").open("w") as lock:
        (folder / "set-aside.lock").chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process is setting"):
            damaged.record("acme", [activity()])
    assert [] == damaged_copies(folder)
    damaged.record("acme", [activity()])
