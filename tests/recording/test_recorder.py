"""Recording: off the caller's thread, throttled, and not lossy."""

from __future__ import annotations

import gc
import logging
import os
import threading
from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.recording.pending import MOST_SUBJECTS
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from tests.stores.store_workers import forked
from tests.support.constants import NOW

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
OTHER = "ft:gpt-4o-mini-2024-07-18:acme::Other"
KEY = Credentials("Bearer sk-test-secret")
ACME = Subject("acme-28gund", KEY)


class WatchedStore(MemoryStore):
    """A memory store whose writes can be counted, awaited, held up and made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.before = lambda: None
        self.writes = 0
        self.written = threading.Semaphore(0)

    def record(self, organization, activities):
        self.before()
        if self.broken:
            raise StoreError("the disk is full")
        super().record(organization, activities)
        self.writes += 1
        self.written.release()

    def evidence(self, organization):
        if self.broken:
            raise StoreError("the disk is full")
        return super().evidence(organization)


def note(recorder: Recorder, subject: Subject = ACME, model: str = MODEL, at=NOW) -> None:
    recorder.record(subject, model, Source.OBSERVED, at)


def test_first_inference_is_written_at_once_and_later_ones_once_a_minute():
    store = WatchedStore()
    recorder = Recorder.for_store(store)
    note(recorder)
    assert store.written.acquire(timeout=300)
    assert NOW == store.history("acme-28gund").models[MODEL].at
    for second in range(1, 1001):
        note(recorder, at=NOW + timedelta(seconds=second // 4 / 250))
    assert 1 == store.writes
    assert recorder.flush(300)
    assert 2 == store.writes
    note(recorder, at=NOW + timedelta(seconds=1))
    note(recorder, model=OTHER)
    assert store.written.acquire(timeout=300)
    assert store.written.acquire(timeout=300)
    history = store.history("acme-28gund")
    assert {MODEL: NOW + timedelta(seconds=1), OTHER: NOW} == {
        name: inference.at for name, inference in history.models.items()
    }
    assert {Source.OBSERVED: 1002} == history.daily[NOW.date()]


def test_refused_write_counts_in_decisions_and_is_written_later(caplog):
    store = WatchedStore()
    store.broken = True
    recorder = Recorder.for_store(store)
    with caplog.at_level(logging.INFO, "finetune_guard"):
        for _ in range(3):
            note(recorder)
            assert not recorder.flush(300)
        assert NOW == recorder.unwritten_evidence(KEY).last_inference.at
        with pytest.raises(StoreError):
            recorder.evidence(KEY)
        store.broken = False
        assert recorder.flush(300)
    assert {Source.OBSERVED: 3} == store.history("acme-28gund").daily[NOW.date()]
    levels = [record.levelname for record in caplog.records]
    assert ["WARNING", "INFO"] == levels
    assert "the disk is full" in caplog.records[0].getMessage()
    assert "secret" not in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_only_the_parent_writes_what_it_noted_before_a_fork():
    store = WatchedStore()
    store.broken = True
    recorder = Recorder.for_store(store)
    note(recorder)
    assert not recorder.flush(300)

    def in_child():
        assert not recorder.has_unwritten

    assert 0 == os.waitpid(forked(in_child), 0)[1]
    assert recorder.has_unwritten


def test_flush_without_notes_starts_no_thread():
    recorder = Recorder.for_store(WatchedStore())
    assert recorder.flush(0)
    assert not recorder.has_unwritten


def test_inferences_of_an_unnamed_key_join_the_organization_later():
    recorder = Recorder.for_store(MemoryStore())
    note(recorder, Subject(None, KEY))
    assert recorder.flush(300)
    assert 1 == len(recorder.history(KEY).models)
    assert recorder.organization(KEY) is None
    note(recorder, model=OTHER)
    assert recorder.flush(300)
    assert {MODEL, OTHER} == set(recorder.store.history("acme-28gund").models)
    assert ("acme-28gund",) == recorder.store.organizations()


@pytest.mark.parametrize("organization", [None, "org-Acme"])
def test_evidence_counts_while_its_new_name_is_not_written(organization):
    recorder, credentials = Recorder.for_store(MemoryStore()), KEY._replace(organization=organization)
    note(recorder, Subject(None, credentials))
    assert recorder.flush(300)
    recorder.record_organization(Subject("acme-28gund", credentials))
    evidence = recorder.evidence(credentials)
    assert (NOW, "acme-28gund") == (evidence.last_inference.at, evidence.organization)
    assert {Source.OBSERVED: 1} == recorder.history(credentials).daily[NOW.date()]


def test_new_process_knows_the_key_by_its_stored_alias(tmp_path):
    """The key itself isn't stored."""
    first = Recorder(DiskStore(tmp_path / "guard"))
    note(first)
    assert first.flush(300)
    second = Recorder(DiskStore(tmp_path / "guard"))
    assert "acme-28gund" == second.organization(KEY)
    assert second.organization(Credentials("Bearer sk-other")) is None
    stored = b"".join(path.read_bytes() for path in (tmp_path / "guard").rglob("*") if path.is_file())
    assert b"secret" not in stored


def test_stores_of_one_folder_share_a_recorder(tmp_path):
    here = Recorder.for_store(DiskStore(tmp_path / "guard"))
    assert here is Recorder.for_store(DiskStore(tmp_path / "guard"))
    assert here is not Recorder.for_store(DiskStore(tmp_path / "other"))
    assert Recorder.for_store(WatchedStore()) is not Recorder.for_store(WatchedStore())


def test_dropped_recorder_writes_its_notes_and_ends_its_thread():
    store = WatchedStore()
    recorder = Recorder.for_store(store)
    note(recorder)
    assert store.written.acquire(timeout=300)
    note(recorder, at=NOW + timedelta(seconds=5))
    thread = recorder._writer._thread
    del recorder
    gc.collect()
    thread.join(300)
    assert not thread.is_alive()
    assert {Source.OBSERVED: 2} == store.history("acme-28gund").daily[NOW.date()]


def test_flush_ends_although_more_is_noted():
    store = WatchedStore()
    recorder = Recorder.for_store(store)
    store.before = lambda: note(recorder)
    for flushes in range(1, 4):
        note(recorder)
        assert recorder.flush(300)
        assert store.history("acme-28gund").daily[NOW.date()][Source.OBSERVED] >= flushes


def test_writer_thread_that_could_not_start_is_started_later(monkeypatch):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    store = WatchedStore()
    recorder = Recorder.for_store(store)
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", fail)
        note(recorder)
    note(recorder)
    assert store.written.acquire(timeout=300)
    assert {Source.OBSERVED: 2} == store.history("acme-28gund").daily[NOW.date()]


@pytest.mark.slow
@pytest.mark.parametrize(("organization", "unkept"), [("acme-28gund", 0), (None, 100)])
def test_hanging_store_loses_only_notes_of_unknown_organizations(caplog, organization, unkept):
    """The loss is logged once."""
    store, begun, go_on = WatchedStore(), threading.Event(), threading.Event()
    store.before = lambda: (begun.set(), go_on.wait())
    recorder = Recorder.for_store(store)
    note(recorder)
    assert begun.wait(300)
    with caplog.at_level(logging.INFO, "finetune_guard"):
        for number in range(MOST_SUBJECTS + 99):
            note(recorder, Subject(organization, Credentials(f"Bearer {number}")))
        go_on.set()
        assert recorder.flush(300)
    stored = sum(store.history(name).inferences_on(NOW.date()) for name in store.organizations())
    assert MOST_SUBJECTS + 100 - unkept == stored
    assert [f"dropped the facts from {unkept} responses"] * bool(unkept) == [
        message[len("finetune-guard ") : message.index(";")] for message in caplog.messages
    ]
    assert "Bearer" not in caplog.text
