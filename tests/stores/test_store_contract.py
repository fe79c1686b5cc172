"""What every store promises, sentence by sentence, from a single thread."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import Evidence, History, Inference, Refusal, Source, Span
from finetune_guard.domain.shutdowns import Announced

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
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


def test_every_store_object_at_a_place_sees_the_same(place, activity):
    """Another client of the same place, opened before or after, knows what the first one recorded."""
    early = place.open()
    place.open().record("acme", [activity()])

    assert of_acme() == early.evidence("acme").last_inference == place.open().evidence("acme").last_inference


def test_time_only_moves_forward(store, activity):
    """An older inference that is recorded later counts, but does not hide the newer one."""
    store.record("acme", [activity()])
    store.record("acme", [activity(at=NOW - 2 * DAY), activity("ft:other:acme::2", at=NOW - DAY)])

    history = store.history("acme")
    assert of_acme() == history.last_inference == history.models[MODEL]
    assert NOW - DAY == history.models["ft:other:acme::2"].at
    assert NOW - 2 * DAY == history.evidence.fine_tuned_by
    assert {NOW.date(), (NOW - DAY).date(), (NOW - 2 * DAY).date()} == set(history.daily)


def test_counts_add_up(store, activity):
    """Counts of the same day and source are added; those of different sources are kept apart."""
    store.record("acme", [activity(count=2), activity(count=3), activity("ft:other:acme::2", count=4)])
    store.record("acme", [activity(count=1), activity(count=7, source=Source.KEEP_ALIVE)])

    expected = {NOW.date(): {Source.OBSERVED: 10, Source.KEEP_ALIVE: 7}}
    assert expected == store.history("acme").daily


def test_an_activity_may_span_days(store, activity):
    """The counts of one activity may be of several days, with or without that of its inference."""
    several = activity().model_copy(update={"counts": {NOW.date(): 1, (NOW - DAY).date(): 2}})
    store.record("acme", [several, activity("ft:uncounted:acme::3", count=0)])

    history = store.history("acme")
    assert {NOW.date(): {Source.OBSERVED: 1}, (NOW - DAY).date(): {Source.OBSERVED: 2}} == history.daily
    assert {MODEL, "ft:uncounted:acme::3"} == set(history.models)


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


def test_what_is_merged_is_remembered(store, activity):
    """Models, days and the stretches of usage that were read are kept beside what was recorded."""
    read = Span(start=NOW - 9 * DAY, end=NOW - DAY)
    other = of_acme(model="ft:other:acme::2", at=NOW + HOUR, source=Source.USAGE_API)
    store.record("acme", [activity(count=2)])
    store.merge(
        History(
            evidence=Evidence(organization="acme", last_inference=other, usage_read=(read,)),
            models={other.model: other, MODEL: of_acme(at=NOW - DAY, source=Source.USAGE_API)},
            daily={NOW.date(): {Source.USAGE_API: 7}},
        )
    )

    history = store.history("acme")
    assert other == history.last_inference
    assert {MODEL: of_acme(), other.model: other} == history.models
    assert {NOW.date(): {Source.OBSERVED: 2, Source.USAGE_API: 7}} == history.daily
    assert (read,) == history.evidence.usage_read


def test_merging_twice_is_the_same_as_once(store, activity):
    """The same facts may arrive any number of times; counts that are merged do not add up."""
    store.record("acme", [activity(count=3)])
    history = store.history("acme")
    store.merge(history)
    store.merge(history)

    assert history == store.history("acme")
    assert ("acme",) == store.organizations()


def test_the_apis_latest_word_about_a_models_end_counts(store):
    """Shutdown dates that the API said are remembered by model; an older word changes nothing."""
    said = {"a": Announced(day=NOW.date(), seen_at=NOW), "b": Announced(day=None, seen_at=NOW)}
    assert {} == store.announced()
    store.announce({})
    store.announce(said)
    store.announce({"a": Announced(day=None, seen_at=NOW - DAY)})
    assert said == store.announced()

    later = Announced(day=(NOW + DAY).date(), seen_at=NOW + HOUR)
    store.announce({"a": later})
    assert {**said, "a": later} == store.announced()
    assert () == store.organizations()


def test_an_alias_is_remembered_and_can_move(store):
    """The latest link of an alias holds; other aliases stay where they are."""
    store.link("key:1", "acme")
    store.link("key:2", "acme")
    store.link("key:1", "umbrella")

    assert "umbrella" == store.organization_of("key:1")
    assert "acme" == store.organization_of("key:2")
    assert store.organization_of("acme") is None
    assert {"key:1": "umbrella", "key:2": "acme"} == store.aliases()
    assert () == store.organizations()


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


def test_linking_again_keeps_the_history(store, activity):
    """A name may be linked twice, or to itself, and move on: what was merged stays with the organization."""
    store.record("key:1", [activity(count=5)])
    store.link("key:1", "acme")
    before = store.history("acme")
    for alias, name in (("key:1", "acme"), ("acme", "acme"), ("key:1", "umbrella")):
        store.link(alias, name)
        assert before == store.history("acme")

    assert "acme" == store.organization_of("acme")
    assert store.evidence("umbrella").last_inference is None


def test_the_salt_is_made_once_and_only_when_asked_for(place):
    """Everyone at a place hashes with the same bytes; looking for them makes none."""
    first, second = place.open(), place.open()

    assert first.salt(create=False) is None
    salt = first.salt(create=True)
    assert salt is not None
    assert 32 == len(salt)
    assert salt == second.salt(create=True) == second.salt(create=False) == first.salt(create=True)


def test_a_closed_store_opens_again(store, activity):
    """close() lets go of files and connections, not of what is remembered; it may be called at any time."""
    store.close()
    store.record("acme", [activity()])
    store.close()
    store.close()

    assert of_acme() == store.evidence("acme").last_inference


@pytest.mark.parametrize("name", ["", "a/b", "../..", 'a"b', "a,b", "a:b", "ü", "😀", "key*", "%", "x" * 512])
def test_any_name_is_a_name(store, activity, name):
    """Whatever printable characters an organization, a model or an alias has, it comes back as it was."""
    store.record(name, [activity(name)])
    store.link("to " + name[:500], name)
    lease = store.lease(name, HOUR)

    assert name == store.evidence(name).last_inference.model
    assert [name] == list(store.history(name).models)
    assert (name,) == store.organizations()
    assert name == store.organization_of("to " + name[:500])
    assert lease is not None
    assert name == lease.name


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
    store.forget("acme", usage_only=True)
    assert History(evidence=Evidence(organization="acme")) == store.history("acme")
    assert "acme" == store.organization_of("org-acme")
    store.forget("acme")
    assert (("other",), {"org-other": "other"}) == (store.organizations(), dict(store.aliases()))
    assert other == store.evidence("other").last_inference
    store.forget("acme")
    store.forget("acme", usage_only=True)
    assert ("other",) == store.organizations()
