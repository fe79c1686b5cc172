"""How evidence about an organization is merged, in any order."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import reduce
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finetune_guard.domain.facts import (
    MOST_LISTED,
    Activity,
    Inference,
    ModelLimits,
    Refusal,
    Served,
    Source,
    Span,
    merge_listed,
    merge_spans,
)
from finetune_guard.domain.history import Evidence, History
from tests.support.constants import DAY, NOW

EMPTY = History(evidence=Evidence(organization="acme"))

# Few distinct values, so that equal moments, models and days are common: there the ties are.
moments = st.integers(0, 5).map(lambda days: NOW + days * DAY) | st.datetimes(
    min_value=datetime(2024, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    max_value=datetime(2028, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    timezones=st.just(timezone.utc),
)
names = st.sampled_from(["ft:a", "ft:b", "ft:c"]) | st.text(max_size=8).filter(str.isprintable)
days = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 1, 4))
sources = st.sampled_from(Source)
counts = st.integers(0, 3)
inferences = st.builds(Inference, organization=st.just("acme"), model=names, at=moments, source=sources)
refusals = st.builds(
    Refusal, at=moments, code=st.sampled_from(["a", "b"]), message=st.sampled_from(["", "x"])
)
limits = st.builds(
    ModelLimits, at=moments, status=st.sampled_from([None, 200]), answer=st.sampled_from(["{}", "x"])
)
activities = st.builds(Activity, inference=inferences, counts=st.dictionaries(days, counts, max_size=3))
spans = st.tuples(moments, moments).filter(lambda ends: ends[0] < ends[1])
spans = spans.map(lambda ends: Span(start=ends[0], end=ends[1]))
evidences = st.builds(
    Evidence,
    organization=st.just("acme"),
    last_inference=st.none() | inferences,
    fine_tuned_by=st.none() | moments,
    no_trace_at=st.none() | moments,
    refusal=st.none() | refusals,
    model_limits=st.none() | limits,
    usage_read=st.lists(spans, max_size=3).map(merge_spans),
    listed=st.dictionaries(st.sampled_from(["ft:a", "ft:b", "ft:c"]), days),
)
histories = st.builds(
    History,
    evidence=evidences,
    models=st.lists(inferences, max_size=3).map(
        lambda many: {inference.model: inference for inference in many}
    ),
    daily=st.dictionaries(days, st.dictionaries(sources, counts, max_size=3), max_size=3),
)


def of_acme(**changes):
    return Inference(**{"organization": "acme", "model": "ft:a", "at": NOW} | changes)


@given(histories, histories, histories)
def test_merging_is_associative_commutative_idempotent_and_lossless(one, other, third):
    assert one.merged(other) == other.merged(one)
    assert one.merged(other).merged(third) == one.merged(other.merged(third))
    assert one == one.merged(one) == one.merged(EMPTY)
    merged = one.merged(other)
    assert merged == merged.merged(other)
    assert {*one.models, *other.models} == set(merged.models)
    assert all(last.at <= merged.models[model].at for model, last in one.models.items())
    for day, by_source in one.daily.items():
        assert all(count <= merged.daily[day][source] for source, count in by_source.items())


@given(st.lists(activities, max_size=4))
def test_history_does_not_depend_on_the_order_of_recording(many):
    outcomes = [reduce(History.recorded, order, EMPTY) for order in permutations(many)]
    assert all(outcomes[0] == outcome for outcome in outcomes)
    newest = max((activity.inference.at for activity in many), default=None)
    assert newest == (outcomes[0].last_inference.at if outcomes[0].last_inference else None)


@given(histories, activities)
def test_recording_adds_counts_to_their_day_and_source_only(history, activity):
    recorded = history.recorded(activity)
    for day in {*history.daily, *activity.counts}:
        for source in Source:
            before = history.daily.get(day, {}).get(source, 0)
            more = activity.counts.get(day, 0) if source is activity.inference.source else 0
            assert before + more == recorded.daily[day].get(source, 0)
    assert set(history.models) | {activity.inference.model} == set(recorded.models)


@given(histories, activities)
def test_recording_does_not_change_the_old_history(history, activity):
    before = history.model_copy(deep=True)
    history.recorded(activity)
    history.merged(EMPTY.recorded(activity))
    assert before == history


def test_inference_proves_earlier_fine_tuning_since_the_earliest_one():
    for at, proof in ((NOW - DAY, NOW - DAY), (NOW + DAY, NOW)):
        evidence = Evidence(organization="acme").recorded(of_acme()).recorded(of_acme(at=at))
        assert proof == evidence.fine_tuned_by


def test_latest_known_model_of_a_deployment_is_kept():
    """An answer that names no model does not remove it, and the summary does not hold it."""
    named, silent = of_acme(served=Served(model="gpt-4", at=NOW)), of_acme(at=NOW + DAY)
    recorded = EMPTY.recorded(Activity(inference=named), Activity(inference=silent))
    assert (silent.at, named.served) == (recorded.models["ft:a"].at, recorded.models["ft:a"].served)
    assert silent == recorded.last_inference


def test_merged_and_recorded_facts_take_the_historys_name():
    other = EMPTY.merged(History(evidence=Evidence(organization="key:1"))).recorded(
        Activity(inference=of_acme(organization="key:1"), counts={NOW.date(): 2})
    )
    assert {"acme"} == {other.organization, other.last_inference.organization}
    assert of_acme() == other.models["ft:a"]
    other_name = History(evidence=Evidence(organization="key:1")).recorded(Activity(inference=of_acme()))
    merged = EMPTY.merged(other_name)
    assert of_acme() == merged.last_inference == merged.models["ft:a"]
    assert ("acme", "key:1") == (merged.organization, other_name.merged(EMPTY).last_inference.organization)


def test_merging_two_names_takes_the_larger_count_of_a_day():
    """The same inferences may have been counted under both names, so counts are not added."""
    day, before = NOW.date(), (NOW - DAY).date()
    one, other = (Activity(inference=of_acme(), counts=counts) for counts in ({day: 3}, {day: 5, before: 1}))
    merged = EMPTY.recorded(one).merged(EMPTY.recorded(other))
    assert {day: {Source.OBSERVED: 5}, before: {Source.OBSERVED: 1}} == merged.daily


def test_facts_are_validated():
    """Times become UTC; a naive time, an empty span and a message over 500 characters are refused."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=14)))
    assert of_acme() == of_acme(at=elsewhere)
    assert timezone.utc is of_acme(at=elsewhere).at.tzinfo
    with pytest.raises(ValidationError, match="time zone"):
        of_acme(at=NOW.replace(tzinfo=None))
    with pytest.raises(ValidationError, match="end after its start"):
        Span(start=NOW, end=NOW)
    assert 500 == len(Refusal(at=NOW, code="x", message="m" * 500).message)
    with pytest.raises(ValidationError, match="at most 500"):
        Refusal(at=NOW, code="x", message="m" * 501)


@given(st.lists(spans, max_size=5))
def test_joined_spans_cover_the_same_times(many):
    joined = merge_spans(many)
    assert list(joined) == sorted(joined, key=lambda span: span.start)
    assert all(one.end < next_one.start for one, next_one in pairwise(joined))
    ends = {moment for span in many for moment in (span.start, span.end)}
    for moment in ends | {end - timedelta(microseconds=1) for end in ends}:
        covered = [span.start <= moment < span.end for span in many]
        assert any(covered) == any(span.start <= moment < span.end for span in joined)


def test_usage_is_known_to_the_end_of_a_span_without_gap():
    read = (Span(start=NOW - 9 * DAY, end=NOW - 5 * DAY), Span(start=NOW - 3 * DAY, end=NOW))
    evidence = Evidence(organization="acme", usage_read=read)
    assert NOW - 5 * DAY == evidence.usage_read_until(NOW - 9 * DAY)
    assert NOW == evidence.usage_read_until(NOW - 2 * DAY)
    assert evidence.usage_read_until(NOW - 5 * DAY) is None
    assert evidence.usage_read_until(NOW - 10 * DAY) is None


def test_usage_and_observed_counts_of_a_day_are_not_added():
    """The organization's usage includes the calls of guarded clients."""
    day = NOW.date()
    seen = {Source.OBSERVED: 3, Source.KEEP_ALIVE: 1}

    def history(counts):
        return EMPTY.model_copy(update={"daily": {day: counts}})

    assert 4 == history(seen).inferences_on(day)
    assert 4 == history({**seen, Source.USAGE_API: 2}).inferences_on(day)
    assert 9 == history({**seen, Source.USAGE_API: 9}).inferences_on(day)
    assert 0 == history(seen).inferences_on(day + DAY)


def test_removing_usage_keeps_other_evidence():
    """Inferences, counts and spans from usage go; earlier fine-tuning stays if something else proves it."""
    observed = of_acme(model="ft:a:b::c", at=NOW - 9 * DAY)
    from_usage = of_acme(model="ft:a:b::d", source=Source.USAGE_API)
    read = (Span(start=NOW - DAY, end=NOW),)
    evidence = Evidence(
        organization="acme", last_inference=from_usage, fine_tuned_by=NOW - 90 * DAY, usage_read=read
    )
    mine, read_on = {Source.OBSERVED: 1}, {Source.USAGE_API: 7}
    history = History(
        evidence=evidence,
        models={observed.model: observed, from_usage.model: from_usage},
        daily={observed.at.date(): mine | read_on, NOW.date(): read_on},
    )
    left = history.without_usage()
    assert Evidence(organization="acme", last_inference=observed, fine_tuned_by=observed.at) == left.evidence
    assert ({observed.model: observed}, {observed.at.date(): mine}) == (left.models, left.daily)
    job = history.model_copy(
        update={"models": {}, "evidence": evidence.model_copy(update={"job_created_at": NOW})}
    )
    assert (None, NOW) == (job.without_usage().last_inference, job.without_usage().evidence.fine_tuned_by)
    assert left == left.without_usage()


def test_list_of_models_is_bounded_to_those_listed_last():
    old = {f"ft:{number}": date(2026, 1, 1) for number in range(MOST_LISTED)}
    new = {"ft:0": date(2026, 1, 2), "ft:new": date(2026, 1, 3)}
    merged = merge_listed(old, new)
    assert merged == merge_listed(new, old) == merge_listed(merged, old)
    assert (MOST_LISTED, new) == (len(merged), {model: merged.get(model) for model in new})
    assert {"ft:new", "ft:0"} <= EMPTY.merged(
        History(evidence=Evidence(organization="acme", listed=merged))
    ).known_models
