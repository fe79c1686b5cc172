"""What every store does in any order of calls, also when it is reopened or requests and answers get lost."""

from __future__ import annotations

import time
import uuid
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from finetune_guard.domain.facts import Activity, Inference, Refusal, Source, Span, merge_spans
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced, merged_announcements
from finetune_guard.stores.base import Lease, OutcomeUnknownError
from finetune_guard.stores.keys import key, prefix, split_key
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.stores.open import open_store
from tests.support.constants import HOUR, NOW
from tests.support.effort import some

NAMES = ("acme", "acme,b", '["acme', "key:1")
HANDLES = 3

names = st.sampled_from(NAMES)
handles = st.integers(0, HANDLES - 1)
moments = st.integers(0, 72).map(lambda hours: NOW + hours * HOUR)
days = moments.map(datetime.date)
spans = st.tuples(moments, moments).filter(lambda ends: ends[0] < ends[1])
spans = spans.map(lambda ends: Span(start=ends[0], end=ends[1]))
inferences = st.builds(
    Inference,
    organization=st.just("whoever"),
    model=st.sampled_from(["ft:x", "ft:y"]),
    at=moments,
    source=st.sampled_from(Source),
)
activities = st.lists(
    st.builds(Activity, inference=inferences, counts=st.dictionaries(days, st.integers(1, 5), max_size=2)),
    min_size=1,
    max_size=2,
)
histories = st.builds(
    History,
    evidence=st.builds(
        Evidence,
        organization=names,
        last_inference=st.none() | inferences,
        fine_tuned_by=st.none() | moments,
        no_trace_at=st.none() | moments,
        refusal=st.none() | st.builds(Refusal, at=moments, code=st.just("x")),
        usage_read=st.lists(spans, max_size=2).map(merge_spans),
    ),
    models=st.lists(inferences, max_size=2).map(
        lambda many: {inference.model: inference for inference in many}
    ),
    daily=st.dictionaries(
        days, st.dictionaries(st.sampled_from(Source), st.integers(1, 5), min_size=1), max_size=2
    ),
)
announcements = st.dictionaries(
    st.sampled_from(["gpt-a", "gpt-b"]),
    st.builds(Announced, day=st.none() | days, seen_at=moments),
    min_size=1,
)
losses = st.sampled_from(["request", "answer"])


def opener(location):
    """Return what opens handles to one empty place beside ``location``; a memory is its own only handle."""
    if location is None:
        memory = MemoryStore()
        return lambda: memory
    own = f"{location}{'' if '://' in location else '/'}{uuid.uuid4().hex}"
    return lambda: open_store(own)


class Machine(RuleBasedStateMachine):
    """Calls of several handles of one place, and what must come of them."""

    leases = Bundle("leases")
    given_back = Bundle("given_back")

    def __init__(self, location):
        super().__init__()
        self.open = opener(location)
        self.handles = [self.open() for _ in range(HANDLES)]
        self.histories = {}
        self.aliases = {}
        self.announced = {}
        self.holders = {}
        self.salt = None

    def known(self, name):
        return self.histories.get(name, History(evidence=Evidence(organization=name)))

    @rule(handle=handles, name=names, many=activities)
    def record(self, handle, name, many):
        self.handles[handle].record(name, many)
        self.recorded(name, many)

    def recorded(self, name, many):
        for activity in many:
            self.histories[name] = self.known(name).recorded(activity)

    @rule(handle=handles, history=histories)
    def merge(self, handle, history):
        self.handles[handle].merge(history)
        self.histories[history.organization] = self.known(history.organization).merged(history)

    @rule(handle=handles, alias=names, name=names)
    def link(self, handle, alias, name):
        self.handles[handle].link(alias, name)
        self.aliases[alias] = name
        if alias != name and alias in self.histories:
            self.histories[name] = self.known(name).merged(self.histories.pop(alias))

    @rule(handle=handles, announced=announcements)
    def announce(self, handle, announced):
        self.handles[handle].announce(announced)
        self.announced = merged_announcements(self.announced, announced)

    @rule(handle=handles, create=st.booleans())
    def ask_for_salt(self, handle, create):
        salt = self.handles[handle].salt(create=create)
        assert (salt is not None) == (create or self.salt is not None)
        assert salt is None or (32 == len(salt) and self.salt in (None, salt))
        self.salt = salt

    @rule(handle=handles, name=names, target=leases)
    def lease(self, handle, name):
        lease = self.handles[handle].lease(name, HOUR)
        assert (lease is None) == (name in self.holders)
        if lease is None:
            return multiple()
        assert name == lease.name
        assert lease.token not in self.holders.values()
        self.holders[name] = lease.token
        return lease

    @rule(handle=handles, name=names, target=given_back)
    def lease_whose_time_passes(self, handle, name):
        lease = self.handles[handle].lease(name, timedelta(microseconds=1))
        assert (lease is None) == (name in self.holders)
        time.sleep(0.003)
        return lease if lease is not None else multiple()

    @rule(handle=handles, lease=consumes(leases), target=given_back)
    def release(self, handle, lease):
        self.handles[handle].release(lease)
        assert lease.token == self.holders.pop(lease.name)
        return lease

    @rule(handle=handles, lease=given_back)
    def release_again(self, handle, lease):
        self.handles[handle].release(lease)

    @rule(handle=handles, name=names)
    def release_what_is_not_ones_own(self, handle, name):
        self.handles[handle].release(Lease(name=name, token="guessed"))

    @rule(handle=handles)
    def close(self, handle):
        self.handles[handle].close()

    @rule(handle=handles)
    def open_another(self, handle):
        self.handles[handle].close()
        self.handles[handle] = self.open()

    @rule()
    def begin_anew(self):
        for handle in self.handles:
            handle.close()
        self.handles = [self.open() for _ in range(HANDLES)]

    @invariant()
    def everything_acknowledged_is_there(self):
        handle = self.handles[len(self.histories) % HANDLES]
        assert tuple(sorted(self.histories)) == handle.organizations()
        assert self.aliases == handle.aliases()
        assert self.announced == handle.announced()
        for name in NAMES:
            assert self.known(name) == handle.history(name)
            assert self.known(name).evidence == handle.evidence(name)

    def teardown(self):
        for handle in self.handles:
            handle.close()


class LossyMachine(Machine):
    """The same by way of what loses transactions and answers to them when it is told to."""

    doubts = Bundle("doubts")

    def __init__(self, location, lossy):
        super().__init__(location)
        self.lossy = lossy

    def in_doubt(self, what, call, name, many):
        """Make a call that loses its request or answer; return how it is made again, and if it is done."""
        self.lossy.lose(what)
        with pytest.raises(OutcomeUnknownError) as caught:
            call()
        if what == "answer":
            self.recorded(name, many)
        return caught.value.again, many, what == "answer"

    @rule(handle=handles, name=names, many=activities, what=losses, target=doubts)
    def record_and_lose(self, handle, name, many, what):
        return self.in_doubt(what, lambda: self.handles[handle].record(name, many), name, many)

    @rule(doubt=consumes(doubts), name=names, what=losses, target=doubts)
    def record_again_and_lose(self, doubt, name, what):
        again, many, is_done = doubt
        if is_done:
            again(name)  # there is nothing to write, so nothing is lost
            return doubt
        return self.in_doubt(what, lambda: again(name), name, many)

    @rule(doubt=consumes(doubts), name=names)
    def record_again(self, doubt, name):
        again, many, is_done = doubt
        again(name)
        if not is_done:
            self.recorded(name, many)


@pytest.mark.parametrize("place", ["memory", "disk", "redis"], indirect=True)
def test_store_keeps_its_contract_in_any_order_of_calls(place):
    """Times only move forward, counts never shrink, a lease has one holder, and nothing written is lost."""
    run_state_machine_as_test(
        lambda: Machine(place.location), settings=settings(max_examples=some(20), stateful_step_count=30)
    )


def test_store_counts_once_while_answers_are_lost(lossy, lossy_url):
    run_state_machine_as_test(
        lambda: LossyMachine(lossy_url, lossy),
        settings=settings(max_examples=some(20), stateful_step_count=30),
    )


any_name = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=40)


@pytest.mark.parametrize("place", ["memory", "disk", "redis"], indirect=True)
def test_unicode_names_are_stored_unchanged(place):
    @settings(max_examples=some(60))
    @given(organization=any_name, model=any_name, alias=any_name)
    def comes_back(organization, model, alias):
        inference = Inference(organization=organization, model=model, at=NOW)
        with closing(opener(place.location)()) as store:
            store.record(organization, [Activity(inference=inference, counts={NOW.date(): 1})])
            store.link("alias of " + alias, organization)

            assert {model: inference} == store.history(organization).models
            assert inference == store.evidence(organization).last_inference
            assert (organization,) == store.organizations()
            assert organization == store.organization_of("alias of " + alias)

    comes_back()


@given(one=st.lists(any_name, max_size=3), other=st.lists(any_name, max_size=3))
def test_keys_of_different_names_are_distinct(one, other):
    """A prefix matches only keys of its own names."""
    assert ("kind", *one) == split_key(key("kind", *one))
    assert (one == other) == (key("kind", *one) == key("kind", *other))
    begins = key("kind", *other).startswith(prefix("kind", *one))
    assert begins == (len(other) > len(one) and other[: len(one)] == one)
    assert key("kind", *one).isascii()
