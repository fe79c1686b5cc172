"""What every store promises, sentence by sentence, from a single thread."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Inference, Refusal, Source, Span
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced
from tests.support.constants import DAY, HOUR, NOW

MODEL = "ft:gpt-4o-mini:acme::1"


def of_acme(**changes):
    return Inference(**{"organization": "acme", "model": MODEL, "at": NOW, **changes})


def told(**facts):
    return History(evidence=Evidence(organization="acme", **facts))


def test_an_unknown_organization_has_an_empty_history(store):
    """Asking about an organization that nothing is known of is no error."""
    assert Evidence(organization="acme") == store.evidence("acme")
    assert History(evidence=Evidence(organization="acme")) == store.history("acme")
    assert () == store.organizations()
    assert store.organization_of("key:1") is None
    assert isinstance(store.location, str)
    assert store.location


def test_a_recorded_inference_is_remembered(store, activity):
    """What is recorded is in the summary, under its model and on its day, under the organization's name."""
    store.record("acme", [activity(count=3)])

    expected = Evidence(organization="acme", last_inference=of_acme(), fine_tuned_by=NOW)
    assert expected == store.evidence("acme")
    assert (
        History(evidence=expected, models={MODEL: of_acme()}, daily={NOW.date(): {Source.OBSERVED: 3}})
    ) == store.history("acme")
    assert ("acme",) == store.organizations()


@pytest.mark.parametrize(
    "call",
    [
        lambda store, activity: store.record("acme", [activity(), activity("m" * 600)]),
        lambda store, _: store.merge(told().model_copy(update={"models": {"m" * 600: of_acme()}})),
    ],
    ids=["record", "merge"],
)
def test_a_change_is_all_or_nothing(store, activity, call):
    """When one of several inferences can't be kept, none of them is; an empty record makes no history."""
    with pytest.raises(StoreError, match="600 characters"):
        call(store, activity)
    store.record("acme", [])

    assert () == store.organizations()


def test_recording_takes_any_iterable_and_leaves_its_errors_alone(store, activity):
    """A generator that fails half-way leaves the history as it was, and its own error comes through."""

    def failing():
        yield activity()
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        store.record("acme", failing())
    assert () == store.organizations()

    store.record("acme", (each for each in [activity()]))
    assert ("acme",) == store.organizations()


def test_organizations_are_apart_and_sorted(store, activity):
    """One organization's inferences are never another's, even when one's name begins with the other's."""
    for name in ("b", "acme", "acme-2", "a"):
        store.record(name, [activity(f"ft:x:{name}::1")])

    assert ("a", "acme", "acme-2", "b") == store.organizations()
    assert {"ft:x:acme::1"} == set(store.history("acme").models)


def test_evidence_is_merged(store, activity):
    """A refusal, a search without result and earlier fine-tuning are remembered beside the inferences."""
    refusal = Refusal(at=NOW, code="training_not_available", message="no")
    store.record("acme", [activity()])
    store.merge(told(refusal=refusal, fine_tuned_by=NOW - 9 * DAY))
    store.merge(told(no_trace_at=NOW))
    store.merge(told(refusal=refusal.model_copy(update={"at": NOW - DAY}), no_trace_at=NOW - DAY))

    assert (
        Evidence(
            organization="acme",
            last_inference=of_acme(),
            fine_tuned_by=NOW - 9 * DAY,
            no_trace_at=NOW,
            refusal=refusal,
        )
    ) == store.evidence("acme")


def test_linking_merges_what_was_kept_under_the_alias(store, activity):
    """A history kept under a key becomes the organization's; a day's count is the larger, not the sum."""
    store.record("key:1", [activity(count=5), activity("ft:old:acme::0", at=NOW - 3 * DAY)])
    store.record("acme", [activity("ft:other:acme::2", at=NOW - DAY), activity(at=NOW - HOUR, count=3)])
    store.record("key:12", [activity("ft:not:this::1")])

    store.link("key:1", "acme")

    history = store.history("acme")
    assert of_acme() == history.last_inference == history.models[MODEL]
    assert {MODEL, "ft:old:acme::0", "ft:other:acme::2"} == set(history.models)
    assert {"acme"} == {inference.organization for inference in history.models.values()}
    assert {Source.OBSERVED: 5} == history.daily[NOW.date()]
    assert ("acme", "key:12") == store.organizations()
    assert History(evidence=Evidence(organization="key:1")) == store.history("key:1")


def test_the_salt_is_made_once_and_only_when_asked_for(place):
    """Everyone at a place hashes with the same bytes; looking for them makes none."""
    first, second = place.open(), place.open()

    assert first.salt(create=False) is None
    salt = first.salt(create=True)
    assert salt is not None
    assert 32 == len(salt)
    assert salt == second.salt(create=True) == second.salt(create=False) == first.salt(create=True)


@pytest.mark.parametrize(
    "name", ["x" * 513, "\ud800", "a\nb", "\0", "\u202e"], ids=["long", "half", "lines", "null", "turned"]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda store, name, activity: store.evidence(name),
        lambda store, name, activity: store.history(name),
        lambda store, name, activity: store.record(name, [activity()]),
        lambda store, name, activity: store.record("acme", [activity(name)]),
        lambda store, name, activity: store.merge(History(evidence=Evidence(organization=name))),
        lambda store, name, activity: store.announce({name: Announced(day=None, seen_at=NOW)}),
        lambda store, name, activity: store.organization_of(name),
        lambda store, name, activity: store.link(name, "acme"),
        lambda store, name, activity: store.link("key:1", name),
        lambda store, name, activity: store.lease(name, HOUR),
    ],
    ids=[
        "evidence",
        "history",
        "record",
        "model",
        "merge",
        "announce",
        "organization_of",
        "alias",
        "organization",
        "lease",
    ],
)
def test_a_name_that_cannot_be_kept_is_refused(store, activity, call, name):
    """A name that is too long, or no text, ends as a StoreError that says so, and changes nothing."""
    with pytest.raises(StoreError, match="refused"):
        call(store, name, activity)
    assert () == store.organizations()
    assert store.organization_of("key:1") is None


def test_a_history_is_forgotten_and_no_other(store):
    """What came from the usage goes alone, or everything with the names that lead to it."""
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


def test_what_was_told_is_kept_for_each_organization(place):
    """Alerts find what was told, by whom ever, and what needs no keeping is removed."""
    place.open().keep_alerts("acme", {"verdict": "unknown", "model/ft:a": "30"})
    place.open().keep_alerts("other", {"verdict": "eligible"})
    place.open().keep_alerts("acme", {"verdict": None, "model/ft:a": "15"})
    assert {"model/ft:a": "15"} == place.open().alerts("acme")
    assert {"verdict": "eligible"} == place.open().alerts("other")
    assert {} == place.open().alerts("nobody")
    assert () == place.open().organizations()
