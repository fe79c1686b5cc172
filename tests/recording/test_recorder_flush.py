"""Flushing, and the thread that writes, in programs that are busy or short of threads."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

from finetune_guard.domain.history import Source
from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.memory import MemoryStore

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
ACME = Subject("acme-28gund", Credentials("Bearer sk-test-secret"))


class BusyStore(MemoryStore):
    """A store during whose every write the program runs another inference."""

    recorder: Recorder

    def record(self, organization, activities):
        super().record(organization, activities)
        note(self.recorder)


class AwaitedStore(MemoryStore):
    """A store that tells when it was written."""

    def __init__(self):
        super().__init__()
        self.written = threading.Event()

    def record(self, organization, activities):
        super().record(organization, activities)
        self.written.set()


def note(recorder: Recorder) -> None:
    recorder.note(ACME, MODEL, Source.OBSERVED, NOON)


def test_what_is_noted_during_a_flush_does_not_hold_it_up():
    """Flushing ends once all that was noted before it is written, however busy the program is."""
    store = BusyStore()
    store.recorder = Recorder.of(store)
    for flushes in range(1, 4):
        note(store.recorder)
        assert store.recorder.flush(10)
        assert store.history("acme-28gund").daily[NOON.date()][Source.OBSERVED] >= flushes


def test_a_thread_that_could_not_be_started_is_started_later(monkeypatch):
    """A program that was out of threads for a moment has its inferences written all the same."""

    def fail(_thread):
        raise RuntimeError("can't start new thread")

    store = AwaitedStore()
    recorder = Recorder.of(store)
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", fail)
        note(recorder)
    note(recorder)
    assert store.written.wait(30)
    assert {Source.OBSERVED: 2} == store.history("acme-28gund").daily[NOON.date()]
