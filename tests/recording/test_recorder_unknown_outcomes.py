"""Recording into a store whose answers can be lost on their way: every inference counts once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.recording.pending import new_facts
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.base import OutcomeUnknownError
from finetune_guard.stores.memory import MemoryStore
from tests.recording.test_recorder import ACME, KEY, MODEL
from tests.support.constants import NOW

LATER = NOW + timedelta(minutes=1)
GLOBEX = Subject("globex-77", Credentials("Bearer sk-other"))


class LossyStore(MemoryStore):
    """A memory store that goes away when it is to lose an answer, and has done what it was asked or not."""

    def __init__(self, *, does_it):
        super().__init__()
        self.does_it = does_it
        self.loses = self.away = False
        self.tried = []

    def record(self, organization, activities):
        activities = tuple(activities)
        self.tried.append(organization)
        if self.away:
            raise StoreError("the server is away")
        is_done = self.does_it or not self.loses
        if is_done:
            super().record(organization, activities)
        if not self.loses:
            return
        self.loses, self.away = False, True

        def again(name):
            nonlocal is_done
            if self.away:
                raise StoreError("the server is away")
            if not is_done:
                super(LossyStore, self).record(name, activities)
                is_done = True

        raise OutcomeUnknownError("the answer was lost", remedy="Try again.", again=again)


@pytest.fixture(params=[True, False], ids=["done", "not done"])
def store(request):
    return LossyStore(does_it=request.param)


def note(recorder, times=1, subject=ACME, at=NOW):
    for _ in range(times):
        recorder.record(subject, MODEL, Source.OBSERVED, at)


def counted(store, organization="acme-28gund"):
    return store.history(organization).daily.get(NOW.date(), {}).get(Source.OBSERVED, 0)


def lose(recorder, times, subject=ACME):
    """Have ``times`` inferences written, and the answer to all but the first of them lost."""
    note(recorder, 1, subject)  # which is written at once, and the others within the minute
    assert recorder.flush(300)
    recorder.store.loses = True
    note(recorder, times - 1, subject, LATER)
    assert not recorder.flush(300)


def test_outage_after_a_lost_answer_counts_nothing_twice(store):
    recorder = Recorder.for_store(store)
    lose(recorder, 3)
    for _ in range(3):
        note(recorder, 2)
        assert not recorder.flush(300)
    store.away = False
    assert LATER == recorder.evidence(KEY).last_inference.at
    assert recorder.flush(300)
    assert 9 == counted(store)
    assert not recorder.has_unwritten


def test_records_wait_while_one_of_their_organization_is_in_doubt(store):
    recorder = Recorder.for_store(store)
    lose(recorder, 2)
    del store.tried[:]
    note(recorder)
    note(recorder, subject=GLOBEX)
    assert not recorder.flush(300)
    assert {"globex-77"} == set(store.tried)
    store.away = False
    assert recorder.flush(300)
    assert (3, 1) == (counted(store), counted(store, "globex-77"))


def test_record_in_doubt_follows_its_history_to_a_new_name(store):
    recorder = Recorder.for_store(store)
    lose(recorder, 2, Subject(None, KEY))
    note(recorder)
    store.away = False
    assert recorder.flush(300)
    assert ("acme-28gund",) == store.organizations()
    assert {Source.OBSERVED: 3} == recorder.history(KEY).daily[NOW.date()]


def test_evidence_learnt_during_doubt_is_written_afterwards(store):
    recorder = Recorder.for_store(store)
    lose(recorder, 2)
    recorder.merge(ACME, new_facts(no_trace_at=NOW))
    store.away = False
    assert recorder.flush(300)
    assert NOW == store.evidence("acme-28gund").no_trace_at
    assert 2 == counted(store)
