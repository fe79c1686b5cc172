"""What holds when many processes on many hosts use one server, and some of them die or stop in between."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
import redis

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.stores.keys import key
from finetune_guard.stores.redis.rows import RedisChange
from finetune_guard.stores.redis.store import RedisStore
from tests.stores.store_workers import forked
from tests.support.constants import HOUR, NOW

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture
def round_trips(monkeypatch):
    """Counts what is sent: whoever waits for an answer before the next command sends twice."""
    sent = []
    send = redis.connection.AbstractConnection.send_packed_command

    def counting(connection, *arguments, **options):
        sent.append(arguments)
        return send(connection, *arguments, **options)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", counting)

    def of(work):
        sent.clear()
        work()
        return len(sent)

    return of


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda store, activity: store.evidence("acme"), 1),
        (lambda store, activity: store.organization_of("key:1"), 1),
        (lambda store, activity: store.salt(create=True), 1),
        (lambda store, activity: store.organizations(), 2),
        (lambda store, activity: store.history("acme"), 2),
        (lambda store, activity: store.aliases(), 2),
        (lambda store, activity: store.announced(), 2),
        (lambda store, activity: store.link("key:1", "acme"), 1),
        (lambda store, activity: store.lease("keep-alive", HOUR), 2),
        (lambda store, activity: store.record("acme", [activity(at=NOW + HOUR)]), 3),
        (lambda store, activity: store.record("acme", [activity("ft:new")]), 5),
        (lambda store, activity: store.merge(store.history("acme")), 5),
    ],
)
def test_round_trips_of_each_call(redis_store, activity, round_trips, work, expected):
    """A decision's reads cost one each, however many models there are."""
    redis_store.record("acme", [activity(), *(activity(f"ft:x:acme::{number}") for number in range(500))])
    redis_store.link("key:1", "acme")
    redis_store.salt(create=True)
    redis_store.announce({"ft:x": Announced(day=None, seen_at=NOW)})

    assert expected == round_trips(lambda: work(redis_store, activity))


@pytest.fixture
def before_commit(monkeypatch):
    """Has something done between the reading and the writing of the next change, or of every one."""
    commit = RedisChange.commit

    def arrange(work, *, every=False):
        def late(change):
            monkeypatch.setattr(RedisChange, "commit", commit)
            work()
            if every:
                monkeypatch.setattr(RedisChange, "commit", late)
            commit(change)

        monkeypatch.setattr(RedisChange, "commit", late)

    return arrange


@pytest.fixture
def other(redis_url):
    """Another client at the same place."""
    with closing(RedisStore(redis_url)) as store:
        yield store


def test_concurrent_change_is_read_again_and_kept(redis_store, other, activity, before_commit):
    redis_store.record("acme", [activity()])
    before_commit(lambda: other.record("acme", [activity(count=5)]))
    redis_store.record("acme", [activity()])

    assert {Source.OBSERVED: 7} == redis_store.history("acme").daily[NOW.date()]


def test_recording_during_linking_counts_once(redis_url, activity):
    stores = [RedisStore(redis_url) for _ in range(4)]

    def record(store):
        for _ in range(20):
            store.record("key:1", [activity()])

    def link(store):
        for _ in range(20):
            store.link("key:1", "acme")

    with ThreadPoolExecutor(4) as threads:
        for change in [
            threads.submit(work, store) for work, store in zip([record, link] * 2, stores, strict=True)
        ]:
            change.result()
    stores[0].link("key:1", "acme")

    assert ("acme",) == stores[0].organizations()
    assert History(evidence=Evidence(organization="key:1")) == stores[0].history("key:1")
    assert ["ft:gpt-4o-mini:acme::1"] == list(stores[0].history("acme").models)
    for store in stores:
        store.close()


def test_changing_history_is_read_as_of_one_moment(redis_store, redis_url, activity):
    stop = threading.Event()

    def grow():
        store, number = RedisStore(redis_url), 0
        while not stop.wait(0.02):
            number += 1
            model = f"ft:x:acme::{number}"
            store.record("acme", [activity(model, at=NOW + number * timedelta(microseconds=1))])
        store.close()

    with ThreadPoolExecutor(1) as thread:
        growing = thread.submit(grow)
        try:
            for _ in range(50):
                history = redis_store.history("acme")
                counted = history.daily.get(NOW.date(), {}).get(Source.OBSERVED, 0)
                assert len(history.models) == counted
                if history.models:
                    assert history.last_inference == history.models[f"ft:x:acme::{counted}"]
        finally:
            stop.set()
        growing.result()


def test_write_that_always_conflicts_gives_up_and_changes_nothing(
    redis_store, other, activity, before_commit, monkeypatch
):
    monkeypatch.setattr("finetune_guard.stores.redis.store._PATIENCE", timedelta(seconds=0.3))
    redis_store.record("acme", [activity()])
    before_commit(lambda: other.record("acme", [activity()]), every=True)
    with pytest.raises(StoreError, match="others went on changing"):
        redis_store.record("acme", [activity("ft:never")])
    assert {"ft:gpt-4o-mini:acme::1"} == set(redis_store.history("acme").models)


@needs_fork
def test_forked_child_uses_its_own_connections(redis_store, server, activity):
    redis_store.record("acme", [activity()])
    before = redis_store._rows
    ours = {connection["id"] for connection in server.client_list()}

    def in_child():
        assert redis_store.evidence("acme").last_inference is not None
        assert {connection["id"] for connection in redis_store._rows._client.client_list()} - ours
        redis_store.close()

    assert 0 == os.waitpid(forked(in_child), 0)[1]
    assert redis_store.evidence("acme").last_inference is not None
    assert ours <= {connection["id"] for connection in server.client_list()}
    assert redis_store._rows is before


def test_releasing_never_deletes_anothers_lease(redis_store, other, server, prefix, before_commit):
    def change_hands():
        server.delete(prefix + key("lease", "keep-alive"))
        assert other.lease("keep-alive", HOUR) is not None

    lease = redis_store.lease("keep-alive", HOUR)
    before_commit(change_hands)
    redis_store.release(lease)
    assert other.lease("keep-alive", HOUR) is None
