"""The right to do something alone, which every store gives."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.base import Lease
from tests.support.constants import HOUR


def test_one_holder_has_a_lease(place):
    """While someone has a lease nobody else gets it; other names are free."""
    first, second = place.open(), place.open()
    lease = first.lease("keep-alive:acme", HOUR)

    assert lease is not None
    assert "keep-alive:acme" == lease.name
    assert second.lease("keep-alive:acme", HOUR) is None
    assert first.lease("keep-alive:acme", HOUR) is None
    assert second.lease("keep-alive:umbrella", HOUR) is not None


def test_only_its_holder_gives_a_lease_back(store):
    """A lease released twice, or by one whose time has passed, takes nothing from the present holder."""
    old = store.lease("keep-alive", HOUR)
    store.release(old)
    held = store.lease("keep-alive", HOUR)
    store.release(old)
    store.release(Lease(name="keep-alive", token="guessed"))
    store.release(Lease(name="never taken", token="guessed"))

    assert store.lease("keep-alive", HOUR) is None
    store.release(held)
    assert store.lease("keep-alive", HOUR) is not None


@pytest.mark.parametrize("ttl", [timedelta(0), -HOUR])
def test_a_lease_without_time_is_refused(store, ttl):
    """A lease that would be over at once is a mistake of the caller, and said to be one."""
    with pytest.raises(StoreError, match="longer than zero"):
        store.lease("keep-alive", ttl)
