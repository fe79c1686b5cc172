"""What every store promises, sentence by sentence, from a single thread."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Inference, Source, Span
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced
from tests.support.constants import HOUR, NOW

MODEL = "ft:gpt-4o-mini:acme::1"


def of_acme(**changes):
    return Inference(**{"organization": "acme", "model": MODEL, "at": NOW, **changes})


def test_failing_iterable_records_nothing_and_raises_its_own_error(store, activity):
    def failing():
        yield activity()
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        store.record("acme", failing())
    assert () == store.organizations()

    store.record("acme", (item for item in [activity()]))
    assert ("acme",) == store.organizations()


NAMED = {
    "evidence": lambda store, name, activity: store.evidence(name),
    "history": lambda store, name, activity: store.history(name),
    "record": lambda store, name, activity: store.record(name, [activity()]),
    "model": lambda store, name, activity: store.record("acme", [activity(), activity(name)]),
    "merge": lambda store, name, activity: store.merge(History(evidence=Evidence(organization=name))),
    "merged model": lambda store, name, activity: store.merge(
        History(evidence=Evidence(organization="acme"), models={name: of_acme(model=name)})
    ),
    "announce": lambda store, name, activity: store.announce({name: Announced(day=None, seen_at=NOW)}),
    "organization_of": lambda store, name, activity: store.organization_of(name),
    "alias": lambda store, name, activity: store.link(name, "acme"),
    "organization": lambda store, name, activity: store.link("key:1", name),
    "lease": lambda store, name, activity: store.lease(name, HOUR),
}


@pytest.mark.parametrize("name", ["x" * 513, "\ud800", "a\nb"], ids=["long", "half", "lines"])
@pytest.mark.parametrize("call", NAMED)
def test_invalid_name_is_a_store_error_and_changes_nothing(store, activity, call, name):
    with pytest.raises(StoreError, match="refused"):
        NAMED[call](store, name, activity)
    store.record("acme", [])
    assert () == store.organizations()
    assert store.organization_of("key:1") is None


def test_forgetting_removes_usage_or_one_whole_history(store):
    read = Span(start=NOW - timedelta(days=1), end=NOW)
    usage = Inference(organization="acme", model="ft:a:b::d", at=NOW, source=Source.USAGE_API)
    evidence = Evidence(organization="acme", last_inference=usage, fine_tuned_by=NOW, usage_read=(read,))
    daily = {NOW.date(): {Source.USAGE_API: 3}}
    store.merge(History(evidence=evidence, models={usage.model: usage}, daily=daily))
    other = Inference(organization="other", model="ft:a:b::c", at=NOW)
    store.merge(History(evidence=Evidence(organization="other", last_inference=other)))
    for alias, name in (("org-acme", "acme"), ("org-other", "other")):
        store.link(alias, name)
    store.keep_alerts("acme", {"verdict": "unknown"})
    store.forget("acme", usage_only=True)
    assert {"verdict": "unknown"} == store.alerts("acme")
    assert History(evidence=Evidence(organization="acme")) == store.history("acme")
    assert "acme" == store.organization_of("org-acme")
    store.forget("acme")
    assert (("other",), {"org-other": "other"}) == (store.organizations(), dict(store.aliases()))
    assert other == store.evidence("other").last_inference
    assert {} == store.alerts("acme")
    store.forget("acme")
    store.forget("acme", usage_only=True)
    assert ("other",) == store.organizations()


def test_delivered_alerts_are_kept_for_each_organization(place):
    place.open().keep_alerts("acme", {"verdict": "unknown", "model/ft:a": "30"})
    place.open().keep_alerts("other", {"verdict": "eligible"})
    place.open().keep_alerts("acme", {"verdict": None, "model/ft:a": "15"})
    assert {"model/ft:a": "15"} == place.open().alerts("acme")
    assert {"verdict": "eligible"} == place.open().alerts("other")
    assert {} == place.open().alerts("nobody")
    assert () == place.open().organizations()


@pytest.mark.parametrize("ttl", [timedelta(0), -HOUR])
def test_lease_without_duration_is_refused(store, ttl):
    with pytest.raises(StoreError, match="longer than zero"):
        store.lease("keep-alive", ttl)
