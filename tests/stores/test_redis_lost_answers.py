"""What becomes of a record whose answer is lost: it counts once, whether it had been done or not."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.stores.base import OutcomeUnknownError
from tests.stores.store_workers import forked
from tests.support.constants import NOW


def counted(store):
    return store.history("acme").daily.get(NOW.date(), {}).get(Source.OBSERVED, 0)


def in_doubt(store, activities):
    with pytest.raises(OutcomeUnknownError) as caught:
        store.record("acme", activities)
    return caught.value


def test_request_delivered_after_its_retry_changes_nothing(lossy_store, lossy, activity):
    lossy_store.record("acme", [activity(count=1)])
    lossy.lose("late")
    error = in_doubt(lossy_store, [activity(count=2)])

    error.again("acme")
    assert b"-1" == lossy.deliver_late()
    assert 3 == counted(lossy_store)


def test_retry_records_again_what_the_server_lost(lossy_store, lossy, activity, server):
    lossy.lose("answer")
    error = in_doubt(lossy_store, [activity(count=2)])
    server.flushdb()
    error.again("acme")
    assert 2 == counted(lossy_store)


def test_outage_during_a_retry_counts_nothing_twice(lossy_store, lossy, activity):
    lossy.lose("answer")
    error = in_doubt(lossy_store, [activity(count=2)])
    lossy.refuse(True)
    lossy_store.close()  # so that it has to connect anew
    with pytest.raises(StoreError, match="Look whether the server"):
        error.again("acme")
    lossy.refuse(False)

    error.again("acme")
    assert 2 == counted(lossy_store)


def test_merge_link_and_announce_can_be_repeated(lossy_store, lossy):
    history = History(evidence=Evidence(organization="acme", fine_tuned_by=NOW))
    for call in (lambda: lossy_store.merge(history), lambda: lossy_store.link("key:1", "acme")):
        lossy.lose("answer")
        with pytest.raises(StoreError) as caught:
            call()
        assert not isinstance(caught.value, OutcomeUnknownError)
        call()
    assert history == lossy_store.history("acme")


def test_receipts_expire_within_a_day(lossy_store, lossy, server, prefix, activity):
    """A program leaves one, and another while a record is in doubt."""
    for _ in range(4):
        lossy_store.record("acme", [activity()])
    (receipt,) = server.scan_iter(f"{prefix}*receipt*", count=10_000)
    assert 0 < server.pttl(receipt) <= timedelta(days=1).total_seconds() * 1000
    lossy.lose("answer")
    error = in_doubt(lossy_store, [activity()])
    for _ in range(4):
        lossy_store.record("acme", [activity()])
        error.again("acme")
    assert 2 == len(list(server.scan_iter(f"{prefix}*receipt*", count=10_000)))
    assert 9 == counted(lossy_store)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_forked_child_keeps_its_parents_receipt(lossy_store, lossy, activity):
    lossy_store.record("acme", [activity()])
    child_may, go = os.pipe()

    def in_child():
        os.read(child_may, 1)
        lossy_store.record("acme", [activity(count=10)])

    pid = forked(in_child)
    lossy.lose("answer")
    error = in_doubt(lossy_store, [activity()])
    os.write(go, b"!")
    assert 0 == os.waitpid(pid, 0)[1]
    os.close(go)
    os.close(child_may)

    error.again("acme")
    assert 12 == counted(lossy_store)
