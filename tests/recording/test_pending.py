"""What waits while a store takes its time: all of it, and never more than fits into memory."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone

import pytest

from finetune_guard.domain.history import Source
from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.pending import MOST_SUBJECTS, PendingWrites
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.memory import MemoryStore

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
STREAM = (MODEL, Source.OBSERVED)


class HangingStore(MemoryStore):
    """A memory store that takes its time until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def record(self, organization, activities):
        self.begun.set()
        self.go_on.wait()
        super().record(organization, activities)


@pytest.fixture
def store():
    store = HangingStore()
    yield store
    store.go_on.set()


def subject(number, organization="acme-28gund"):
    return Subject(organization, Credentials(f"Bearer {number}"))


def note(backlog, about, count=1):
    notes = backlog.pending.get(about)
    (notes if notes is not None else backlog.begin(about)).add(STREAM, NOON, NOON.date(), count)


def counted(batches):
    return sum(tally.counts[NOON.date()] for batch in batches for tally in batch.notes.tallies.values())


def test_tokens_that_change_with_every_request_do_not_fill_the_memory():
    """Where too many keys wait, further ones of an organization that waits share its notes: all count."""
    backlog = PendingWrites()
    for number in range(MOST_SUBJECTS + 500):
        note(backlog, subject(number))
    assert MOST_SUBJECTS == len(backlog.pending)
    assert MOST_SUBJECTS + 500 == counted(backlog.take(lambda *_: True))
    assert 0 == backlog.unkept


def test_what_is_being_written_and_what_is_refused_count_as_well():
    """However often a store refuses, no more than the limit waits, and one of each organization beyond it."""
    backlog = PendingWrites()
    for round_ in range(1, 4):
        for number in range(MOST_SUBJECTS):
            note(backlog, subject((round_, number)))
        batches = backlog.take(lambda *_: True)
        note(backlog, subject((round_, "late")))
        backlog.settle(batches)
        assert len(backlog.pending) <= MOST_SUBJECTS + 1
    assert 3 * (MOST_SUBJECTS + 1) == counted(backlog.take(lambda *_: True))


def test_what_can_not_be_kept_is_counted():
    """Beyond the limit nothing of keys is kept whose organization isn't known; of those that wait it is."""
    backlog = PendingWrites()
    for number in range(MOST_SUBJECTS):
        note(backlog, subject(number, None))
    for number in range(7):
        note(backlog, subject(MOST_SUBJECTS + number, None))
        note(backlog, subject(number, None))
    note(backlog, subject(0))
    assert MOST_SUBJECTS == len(backlog.pending)
    assert 8 == backlog.unkept
    assert MOST_SUBJECTS + 7 == counted(backlog.take(lambda *_: True))


def test_there_is_room_again_when_something_is_written():
    """Once the store has taken what waited, further keys have notes of their own."""
    backlog = PendingWrites()
    for number in range(MOST_SUBJECTS):
        note(backlog, subject(number, None))
    backlog.take(lambda *_: True)
    backlog.settle([])
    assert not backlog
    note(backlog, subject("another", None))
    assert 1 == len(backlog.pending)
    assert 0 == backlog.unkept


def test_an_organization_that_changes_its_keys_loses_nothing_while_its_store_hangs(store, caplog):
    """Every inference is in the history when the store goes on, and nothing was complained of."""
    recorder = Recorder.of(store)
    recorder.note(subject("first"), MODEL, Source.OBSERVED, NOON)
    assert store.begun.wait(30)
    with caplog.at_level(logging.INFO, "finetune_guard"):
        for number in range(MOST_SUBJECTS + 99):
            recorder.note(subject(number), MODEL, Source.OBSERVED, NOON)
        store.go_on.set()
        assert recorder.flush(300)
    assert {Source.OBSERVED: MOST_SUBJECTS + 100} == store.history("acme-28gund").daily[NOON.date()]
    assert [] == caplog.messages


def test_that_something_was_not_kept_is_said_once(store, caplog):
    """Keys without a known organization that are too many for memory are told of in one warning."""
    recorder = Recorder.of(store)
    recorder.note(subject("first"), MODEL, Source.OBSERVED, NOON)
    assert store.begun.wait(30)
    with caplog.at_level(logging.WARNING, "finetune_guard"):
        for number in range(MOST_SUBJECTS + 99):
            recorder.note(subject(number, None), MODEL, Source.OBSERVED, NOON)
        store.go_on.set()
        assert recorder.flush(300)
    (message,) = caplog.messages
    assert "did not keep what 100 answers told" in message
    assert "Bearer" not in message


def test_only_what_is_due_is_taken():
    """One model can be written while another of the same key, and another key's, wait on."""
    backlog, later = PendingWrites(), (f"{MODEL}:ckpt-step-10", Source.OBSERVED)
    for number in (1, 2):
        backlog.begin(subject(number)).add(later, NOON, NOON.date())
    note(backlog, subject(1), count=3)
    taken = backlog.take(lambda _, stream: stream == STREAM)
    assert [(subject(1), 3)] == [(batch.subject, counted([batch])) for batch in taken]
    backlog.settle([])
    assert {subject(1): [later], subject(2): [later]} == {
        each: list(notes.tallies) for each, notes in backlog.pending.items()
    }
