"""What every store makes of any facts, under any names, in any order."""

from __future__ import annotations

import tempfile
import uuid
from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_guard.domain.facts import Activity, Inference
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.keys import key, parts, prefix
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.stores.redis.store import RedisStore
from tests.effort import some
from tests.support.constants import NOW

any_name = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=40)
moments = st.integers(0, 100).map(lambda hours: NOW + timedelta(hours=hours))


@pytest.fixture(params=["memory", "disk", "redis"], scope="module")
def opened(request):
    """Opens an empty store of a kind, as often as it is asked to."""
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None

    @contextmanager
    def opened():
        with tempfile.TemporaryDirectory() as folder:
            if request.param == "memory":
                store = MemoryStore()
            elif request.param == "disk":
                store = DiskStore(folder)
            else:
                store = RedisStore(f"{server.url}?prefix={uuid.uuid4().hex}")
            try:
                yield store
            finally:
                store.close()

    return opened


@settings(max_examples=some(60))
@given(organization=any_name, model=any_name, alias=any_name, day=moments)
def test_every_name_comes_back_as_it_was(opened, organization, model, alias, day):
    """Organizations, models and aliases may have any Unicode name."""
    inference = Inference(organization=organization, model=model, at=day)
    with opened() as store:
        store.record(organization, [Activity(inference=inference, counts={day.date(): 1})])
        store.link("alias of " + alias, organization)

        assert {model: inference} == store.history(organization).models
        assert inference == store.evidence(organization).last_inference
        assert (organization,) == store.organizations()
        assert organization == store.organization_of("alias of " + alias)


@given(one=st.lists(any_name, max_size=3), other=st.lists(any_name, max_size=3))
def test_no_two_lists_of_names_share_a_key(one, other):
    """A key says which names it was made of, and a prefix is one of its own names' keys only."""
    assert ("kind", *one) == parts(key("kind", *one))
    assert (one == other) == (key("kind", *one) == key("kind", *other))
    begins = key("kind", *other).startswith(prefix("kind", *one))
    assert begins == (len(other) > len(one) and other[: len(one)] == one)
    assert key("kind", *one).isascii()
