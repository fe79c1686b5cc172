"""Flushing, and the thread that writes, where stores are slow and programs are busy or short of threads."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone

import pytest

from finetune_guard.domain.facts import Source
from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.notes import MOST_SUBJECTS, Subject
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


class HangingStore(MemoryStore):
    """A store that takes its time until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def record(self, organization, activities):
        self.begun.set()
        self.go_on.wait()
        super().record(organization, activities)


def note(recorder: Recorder, subject: Subject = ACME) -> None:
    recorder.record(subject, MODEL, Source.OBSERVED, NOON)


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


@pytest.mark.slow
@pytest.mark.parametrize(("organization", "unkept"), [("acme-28gund", 0), (None, 100)])
def test_keys_that_change_all_the_time_are_kept_within_bounds(caplog, organization, unkept):
    """While a store hangs nothing of a known organization is lost; that other keys' was is said once."""
    store = HangingStore()
    recorder = Recorder.of(store)
    note(recorder)
    assert store.begun.wait(30)
    with caplog.at_level(logging.INFO, "finetune_guard"):
        for number in range(MOST_SUBJECTS + 99):
            note(recorder, Subject(organization, Credentials(f"Bearer {number}")))
        store.go_on.set()
        assert recorder.flush(300)
    kept = sum(store.history(name).inferences_on(NOON.date()) for name in store.organizations())
    assert MOST_SUBJECTS + 100 - unkept == kept
    assert [f"did not keep what {unkept} answers told"] * bool(unkept) == [
        message[len("finetune-guard ") : message.index(";")] for message in caplog.messages
    ]
    assert "Bearer" not in caplog.text
