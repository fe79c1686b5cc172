"""Recording: off the caller's thread, throttled, and not lossy."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
OTHER = "ft:gpt-4o-mini-2024-07-18:acme::Other"
NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
KEY = Credentials("Bearer sk-test-secret")
ACME = Subject("acme-28gund", KEY)


class WatchedStore(MemoryStore):
    """A memory store whose writes can be counted, awaited and made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.writes = 0
        self.written = threading.Semaphore(0)

    def record(self, organization, activities):
        if self.broken:
            raise StoreError("the disk is full")
        super().record(organization, activities)
        self.writes += 1
        self.written.release()

    def evidence(self, organization):
        if self.broken:
            raise StoreError("the disk is full")
        return super().evidence(organization)


def note(recorder: Recorder, subject: Subject = ACME, model: str = MODEL, at: datetime = NOON) -> None:
    recorder.record(subject, model, Source.OBSERVED, at)


def test_the_first_inference_of_a_model_is_written_at_once_and_later_ones_add_up():
    """A thousand calls of a model within a minute cost one more write, another model's first goes at once."""
    store = WatchedStore()
    recorder = Recorder.of(store)
    note(recorder)
    assert store.written.acquire(timeout=30)
    assert NOON == store.history("acme-28gund").models[MODEL].at
    for second in range(1, 1001):
        note(recorder, at=NOON + timedelta(seconds=second / 1000))
    assert 1 == store.writes
    assert recorder.flush(30)
    assert 2 == store.writes
    note(recorder)
    note(recorder, model=OTHER)
    assert store.written.acquire(timeout=30)
    assert store.written.acquire(timeout=30)
    history = store.history("acme-28gund")
    assert {MODEL: NOON + timedelta(seconds=1), OTHER: NOON} == {
        name: inference.at for name, inference in history.models.items()
    }
    assert {Source.OBSERVED: 1002} == history.daily[NOON.date()]


def test_what_a_store_refuses_is_kept_and_written_later(caplog):
    """While the store fails, decisions know what was seen; when it works again, it has all of it."""
    store = WatchedStore()
    store.broken = True
    recorder = Recorder.of(store)
    with caplog.at_level(logging.INFO, "finetune_guard"):
        for _ in range(3):
            note(recorder)
            assert not recorder.flush(30)
        assert NOON == recorder.unwritten_evidence(KEY).last_inference.at
        with pytest.raises(StoreError):
            recorder.evidence(KEY)
        store.broken = False
        assert recorder.flush(30)
    assert {Source.OBSERVED: 3} == store.history("acme-28gund").daily[NOON.date()]
    levels = [record.levelname for record in caplog.records]
    assert ["WARNING", "INFO"] == levels
    assert "the disk is full" in caplog.records[0].getMessage()
    assert "secret" not in caplog.text


def test_nothing_to_write_is_written_in_no_time():
    """Flushing without anything noted succeeds, starts no thread and touches no store."""
    recorder = Recorder.of(WatchedStore())
    assert recorder.flush(0)
    assert not recorder.has_unwritten


def test_a_key_without_a_name_gets_one_later():
    """What was seen before the API named the organization is in its history afterwards."""
    recorder = Recorder.of(MemoryStore())
    note(recorder, Subject(None, KEY))
    assert recorder.flush(30)
    assert 1 == len(recorder.history(KEY).models)
    assert recorder.organization(KEY) is None
    note(recorder, model=OTHER)
    assert recorder.flush(30)
    assert {MODEL, OTHER} == set(recorder.store.history("acme-28gund").models)
    assert ("acme-28gund",) == recorder.store.organizations()


@pytest.mark.parametrize("organization", [None, "org-Acme"])
def test_a_name_that_is_learnt_hides_nothing(organization):
    """What was kept without a name still counts while the organization's name is not yet written."""
    recorder, credentials = Recorder.of(MemoryStore()), KEY._replace(organization=organization)
    note(recorder, Subject(None, credentials))
    assert recorder.flush(30)
    recorder.name(Subject("acme-28gund", credentials))
    evidence = recorder.evidence(credentials)
    assert (NOON, "acme-28gund") == (evidence.last_inference.at, evidence.organization)
    assert {Source.OBSERVED: 1} == recorder.history(credentials).daily[NOON.date()]


def test_a_key_is_known_again_in_a_new_process(tmp_path):
    """The store's aliases tell whose a key is without asking the API; the key itself isn't stored."""
    first = Recorder(DiskStore(tmp_path / "guard"))
    note(first)
    assert first.flush(30)
    again = Recorder(DiskStore(tmp_path / "guard"))
    assert "acme-28gund" == again.organization(KEY)
    assert again.organization(Credentials("Bearer sk-other")) is None
    stored = b"".join(path.read_bytes() for path in (tmp_path / "guard").rglob("*") if path.is_file())
    assert b"secret" not in stored


def test_clients_of_one_place_share_its_recorder(tmp_path):
    """Two stores in one folder have one writer; two memories, or stores of a program's own, have two."""
    here = Recorder.of(DiskStore(tmp_path / "guard"))
    assert here is Recorder.of(DiskStore(tmp_path / "guard"))
    assert here is not Recorder.of(DiskStore(tmp_path / "other"))
    assert Recorder.of(WatchedStore()) is not Recorder.of(WatchedStore())


def test_many_keys_do_not_grow_memory_without_end():
    """Tokens that change all the time are forgotten again."""
    recorder = Recorder.of(MemoryStore())
    for number in range(3_000):
        recorder.name(Subject("acme-28gund", Credentials(f"Bearer {number}")))
    assert len(recorder._aliases._answered) <= 1_000


def test_the_thread_ends_when_the_recorder_is_gone():
    """A dropped client leaves no thread behind, and what it noted is written first."""
    store = WatchedStore()
    recorder = Recorder.of(store)
    note(recorder)
    assert store.written.acquire(timeout=30)
    note(recorder, at=NOON + timedelta(seconds=5))
    thread = recorder._writer._thread
    del recorder
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()
    assert {Source.OBSERVED: 2} == store.history("acme-28gund").daily[NOON.date()]


FORKING = """
import os, sys, threading
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from tests.recording.test_recorder import note

recorder = Recorder.of(DiskStore(sys.argv[1]))
for _ in range(3):
    note(recorder)
recorder.flush(30)
note(recorder)
if (child := os.fork()) == 0:
    unwritten = recorder.has_unwritten
    note(recorder)
    os._exit(0 if recorder.flush(30) and not unwritten else 1)
threads = [thread.name for thread in threading.enumerate()]
note(recorder)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or str(threads[1:] or ""))
"""


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_finds_no_thread_of_ours(tmp_path):
    """From 3.12 on a fork beside threads warns. Nothing is lost or written twice: each writes its own."""
    program = [sys.executable, "-W", "error", "-c", FORKING, str(tmp_path / "guard")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert "" == done.stderr.strip()
    assert {Source.OBSERVED: 6} == DiskStore(tmp_path / "guard").history("acme-28gund").daily[NOON.date()]


def note_in_child(location):
    recorder = Recorder.of(DiskStore(location))
    for _ in range(100):
        note(recorder)


@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_of_multiprocessing_loses_nothing(tmp_path, method):
    """A worker that just returns has written all it saw, also where it was forked and runs no atexit."""
    folder = tmp_path / "guard"
    child = multiprocessing.get_context(method).Process(target=note_in_child, args=(folder,))
    child.start()
    child.join(60)
    assert 0 == child.exitcode
    assert {Source.OBSERVED: 100} == DiskStore(folder).history("acme-28gund").daily[NOON.date()]


ENDING = """
import sys, time
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from tests.recording.test_recorder import note

recorder = Recorder.of(DiskStore(sys.argv[1]))
for number in range(100):
    note(recorder, model=f"model{number % 5}")
    if number < 5:
        time.sleep(float(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.002, 0.01])
def test_a_program_may_end_at_any_moment(tmp_path, pause):
    """Ending in the middle of a write neither crashes the interpreter nor loses what was noted."""
    folder = tmp_path / "guard"
    ended = subprocess.run([sys.executable, "-c", ENDING, str(folder), str(pause)], check=False)
    assert 0 == ended.returncode
    history = DiskStore(folder).history("acme-28gund")
    assert (5, {Source.OBSERVED: 100}) == (len(history.models), history.daily[NOON.date()])


WITH_A_BROKEN_STORE = """
from finetune_guard import Store
from finetune_guard.recording.recorder import Recorder
from tests.recording.test_recorder import note

def fail(*arguments, **options):
    raise RuntimeError("no")

methods = {name: fail for name in Store.__abstractmethods__}
note(Recorder.of(type("Broken", (Store,), {"location": "nowhere", **methods})()))
"""


@pytest.mark.slow
def test_a_broken_store_does_not_disturb_a_programs_end():
    """Whatever a store does as the program ends, there is one line in the log and no traceback."""
    ended = subprocess.run(
        [sys.executable, "-c", WITH_A_BROKEN_STORE], check=False, capture_output=True, text=True
    )
    assert 0 == ended.returncode
    assert ["finetune-guard can't write the history at nowhere;"] == [
        line.partition("; ")[0] + ";" for line in ended.stderr.splitlines()
    ]
