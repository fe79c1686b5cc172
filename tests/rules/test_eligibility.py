"""Whether jobs may be created: each rule, and properties of all rules."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.facts import Coverage, Inference, Refusal, Span
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.eligibility import decide
from tests.support.constants import FINE_TUNED, utc
from tests.support.facts import decided, known, ran

WINDOW = timedelta(days=60)
ENDLESS = AccessPolicy(
    name="endless",
    phases=(
        Phase(starts_on=None, requirement=Requirement.NONE),
        Phase(starts_on=date(2020, 1, 1), requirement=Requirement.RECENT_INFERENCE, window=WINDOW),
    ),
)


REFUSAL = Refusal(at=utc(2026, 9, 1), code="training_not_available")


TUNED, NO_TRACE = {"fine_tuned_by": utc(2025, 1, 1)}, {"no_trace_at": utc(2026, 5, 30)}


@pytest.mark.parametrize(
    ("now", "evidence", "verdict", "reason"),
    [
        (utc(2026, 4, 1), known(), "eligible", "no_requirement"),
        (utc(2026, 6, 1), known(), "unknown", "no_inference_recorded"),
        (utc(2026, 6, 1), known(**NO_TRACE), "unknown", "never_fine_tuned"),
        (utc(2026, 6, 1), known(**TUNED), "eligible", "earlier_fine_tuning"),
        (utc(2026, 6, 1), known(utc(2025, 1, 1)), "eligible", "earlier_fine_tuning"),
        (utc(2026, 8, 1), known(), "unknown", "no_inference_recorded"),
        (utc(2026, 8, 1), known(**TUNED), "unknown", "no_inference_recorded"),
        (utc(2026, 8, 1), known(**NO_TRACE), "unknown", "never_fine_tuned"),
        (utc(2026, 8, 1), known(**NO_TRACE, **TUNED), "unknown", "no_inference_recorded"),
        (utc(2026, 8, 1), known(utc(2026, 7, 31)), "eligible", "recent_inference"),
        (utc(2026, 11, 1), known(utc(2026, 7, 31)), "unknown", "window_expired"),
        (utc(2027, 2, 1), known(utc(2027, 1, 31)), "ineligible", "closed"),
        (utc(2027, 2, 1), known(refusal=Refusal(at=utc(2027, 2, 1), code="no")), "ineligible", "closed"),
        # While a date is crossed both phases are asked; where they don't agree, only the API knows.
        (utc(2026, 5, 7), known(), "unknown", "policy_boundary"),
        (utc(2026, 5, 7), known(**TUNED), "eligible", "no_requirement"),
        (utc(2026, 7, 2), known(utc(2026, 7, 1)), "eligible", "earlier_fine_tuning"),
        (utc(2026, 7, 2), known(utc(2025, 7, 1)), "unknown", "policy_boundary"),
        (utc(2027, 1, 6), known(utc(2027, 1, 1)), "unknown", "policy_boundary"),
        (utc(2027, 1, 6), known(utc(2026, 8, 1)), "unknown", "window_expired"),
        (utc(2027, 1, 6), known(), "unknown", "no_inference_recorded"),
        (utc(2027, 1, 6), known(refusal=Refusal(at=utc(2027, 1, 6), code="no")), "ineligible", "refused"),
    ],
)
def test_verdict_of_each_phase_and_of_a_refusal(now, evidence, verdict, reason):
    eligibility = decide(OPENAI_SELF_SERVE, evidence, now)
    assert (verdict, reason, now) == (eligibility.verdict, eligibility.reason, eligibility.checked_at)


@pytest.mark.parametrize(
    ("now", "or_at", "last", "reason"),
    [
        (utc(2027, 1, 25), utc(2026, 11, 26), utc(2026, 11, 25), Reason.CLOCK_IN_DOUBT),
        (utc(2027, 1, 25), utc(2026, 11, 26), utc(2026, 8, 1), Reason.WINDOW_EXPIRED),
        (utc(2027, 3, 25), utc(2027, 1, 26), utc(2026, 11, 25), Reason.CLOSED),
        (utc(2026, 11, 26), utc(2026, 12, 26), utc(2026, 10, 7), Reason.CLOCK_IN_DOUBT),
        (utc(2026, 11, 26), utc(2026, 12, 26), utc(2026, 11, 7), Reason.RECENT_INFERENCE),
    ],
)
def test_verdict_holds_at_both_times_while_in_doubt(now, or_at, last, reason):
    """No clock alone closes or opens a window; what is told is told as of the earlier time."""
    for one, other in ((now, or_at), (or_at, now)):
        found = decide(OPENAI_SELF_SERVE, known(last), one, or_at=other)
        assert (reason, min(now, or_at)) == (found.reason, found.checked_at)


def at(*parts: int, **precision: int) -> Inference:
    return ran(utc(*parts), within=timedelta(**precision))


@pytest.mark.parametrize(
    ("now", "facts", "reason"),
    [
        (utc(2026, 9, 1, 23), {}, Reason.REFUSED),
        (utc(2026, 8, 31, 23, 50), {}, Reason.REFUSED),  # the API's clock is ahead of ours
        (utc(2026, 9, 2), {}, Reason.NO_INFERENCE_RECORDED),
        (utc(2026, 7, 31), {}, Reason.NO_INFERENCE_RECORDED),
        (utc(2026, 9, 1, 23), {"last_inference": at(2026, 8, 31)}, Reason.REFUSED),
        (utc(2026, 9, 2), {"last_inference": at(2026, 8, 31)}, Reason.REFUSAL_IN_DOUBT),
        (utc(2026, 9, 1, 23), {"last_inference": at(2026, 9, 1)}, Reason.REFUSAL_IN_DOUBT),
        (utc(2026, 9, 1, 23), {"last_inference": at(2026, 8, 31, 12, hours=1)}, Reason.REFUSED),
        (utc(2026, 9, 1, 23), {"last_inference": at(2026, 8, 31, 12, days=1)}, Reason.REFUSAL_IN_DOUBT),
        (utc(2026, 9, 1, 23), {"last_inference": at(2026, 9, 1, 0, 0, 1)}, Reason.RECENT_INFERENCE),
        (utc(2026, 8, 31, 23, 55), {"last_inference": at(2026, 9, 1, 0, 1)}, Reason.RECENT_INFERENCE),
        (utc(2026, 9, 1, 23), {"job_created_at": utc(2026, 8, 31)}, Reason.REFUSED),
        (utc(2026, 9, 1, 23), {"job_created_at": utc(2026, 9, 1)}, Reason.NO_INFERENCE_RECORDED),
        (utc(2026, 9, 1, 23), {"job_created_at": utc(2026, 9, 1, 1)}, Reason.NO_INFERENCE_RECORDED),
    ],
)
def test_refusal_is_believed_for_a_day_unless_newer_evidence_may_exist(now, facts, reason):
    eligibility = decide(OPENAI_SELF_SERVE, known(refusal=REFUSAL, **facts), now)
    assert reason is eligibility.reason
    assert (reason in (Reason.REFUSED, Reason.REFUSAL_IN_DOUBT)) is (eligibility.refusal is not None)


def test_refusal_ttl_can_be_set():
    evidence, now = known(refusal=REFUSAL), utc(2026, 9, 1, 2)
    believed = decide(OPENAI_SELF_SERVE, evidence, now, refusal_ttl=timedelta(hours=3))
    eligibility = decide(OPENAI_SELF_SERVE, evidence, now, refusal_ttl=timedelta(hours=2))
    assert (Reason.REFUSED, Reason.NO_INFERENCE_RECORDED) == (believed.reason, eligibility.reason)


def test_window_closes_exactly_after_sixty_days():
    last, instant = utc(2026, 8, 1, 12, 30), timedelta(microseconds=1)
    moments = (last + WINDOW - instant, last + WINDOW)
    before, after = (decided(now, last) for now in moments)
    assert (True, True, False, False) == (before.ok, bool(before), after.ok, bool(after))
    windows = [
        (eligibility.window_closes_at, eligibility.window_closed_at, eligibility.remaining)
        for eligibility in (before, after)
    ]
    assert [(last + WINDOW, None, instant), (None, last + WINDOW, None)] == windows
    assert utc(2028, 4, 1) == decide(ENDLESS, known(utc(2028, 2, 1)), utc(2028, 2, 29)).window_closes_at


def test_eligibility_names_its_evidence_closing_day_and_remedy():
    eligible = decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1)), utc(2026, 8, 2))
    assert ("acme-28gund", FINE_TUNED) == (eligible.organization, eligible.last_inference.model)
    assert (date(2027, 1, 6), None, None) == (eligible.creation_ends_on, eligible.remedy, eligible.refusal)
    assert "keep_alive" in decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1)), utc(2026, 11, 2)).remedy
    unnamed = decide(ENDLESS, Evidence(organization="key:0123"), utc(2026, 8, 2))
    assert (None, None) == (unnamed.organization, unnamed.creation_ends_on)


@pytest.mark.parametrize(
    ("last", "now", "until"),
    [
        (utc(2026, 8, 1), utc(2026, 8, 2), utc(2026, 9, 30)),
        (utc(2026, 12, 1), utc(2026, 12, 2), utc(2027, 1, 5, 10)),  # where January 6 begins first
        (utc(2025, 1, 1), utc(2026, 6, 1), utc(2027, 1, 5, 10)),
        (utc(2026, 8, 1), utc(2026, 11, 2), None),
        (utc(2027, 1, 1), utc(2027, 1, 6), None),
        (None, utc(2026, 8, 2), None),
    ],
)
def test_jobs_can_be_created_until_the_earlier_of_window_and_policy_end(last, now, until):
    eligibility = decided(now, last)
    assert until == eligibility.jobs_until
    assert until is None or f"{until:%Y-%m-%dT%H:%M:%SZ}" == eligibility.model_dump(mode="json")["jobs_until"]


def test_eligibility_round_trips_through_json():
    eligibility = decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1)), utc(2026, 8, 2))
    assert eligibility == Eligibility.model_validate_json(eligibility.model_dump_json())
    assert 59 * 86_400 == eligibility.model_dump(mode="json")["remaining"]
    assert "eligible because of recent_inference" == f"{eligibility.verdict} because of {eligibility.reason}"


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        decide(OPENAI_SELF_SERVE, known(), datetime(2026, 8, 1))  # noqa: DTZ001 -- that is the point


def read(start: datetime, end: datetime) -> tuple[Span, ...]:
    return (Span(start=start, end=end),)


@pytest.mark.parametrize(
    ("usage_read", "is_sure"),
    [
        ((), False),
        (read(utc(2026, 9, 1), utc(2026, 11, 1)), True),
        (read(utc(2026, 9, 1), utc(2026, 10, 31, 23, 51)), True),
        (read(utc(2026, 9, 1), utc(2026, 10, 31, 23, 50)), False),
        (read(utc(2026, 9, 3), utc(2026, 11, 1)), False),
    ],
)
def test_only_a_recent_gapless_usage_reading_proves_a_lapse(usage_read, is_sure):
    for last, unsure in ((None, "no_inference_recorded"), (utc(2026, 8, 1), "window_expired")):
        eligibility = decide(OPENAI_SELF_SERVE, known(last, usage_read=usage_read), utc(2026, 11, 1))
        expected = ("ineligible", "no_recent_inference") if is_sure else ("unknown", unsure)
        assert expected == (eligibility.verdict, eligibility.reason)


def test_coverage_is_organization_where_usage_covers_the_window():
    last = utc(2026, 10, 1)
    covered = known(last, usage_read=read(utc(2026, 8, 1), utc(2026, 10, 20)))
    for now, coverage, until in (
        (utc(2026, 10, 20, 23, 59), Coverage.ORGANIZATION, utc(2026, 10, 20)),
        (utc(2026, 10, 21), Coverage.LOCAL, utc(2026, 10, 20)),
        (utc(2026, 10, 31), Coverage.LOCAL, utc(2026, 10, 20)),
        (utc(2026, 12, 19), Coverage.LOCAL, None),
    ):
        eligibility = decide(OPENAI_SELF_SERVE, covered, now)
        assert (coverage, until) == (eligibility.coverage, eligibility.covered_until)


@pytest.mark.parametrize(
    ("now", "by_usage", "with_an_exact_time"),
    [
        (utc(2026, 11, 29, 23, 59), "recent_inference", "recent_inference"),
        (utc(2026, 11, 30), "window_edge", "recent_inference"),
        (utc(2026, 11, 30, 9, 59), "window_edge", "recent_inference"),
        (utc(2026, 11, 30, 10), "window_edge", "window_edge"),
        (utc(2026, 11, 30, 23, 59), "window_edge", "window_edge"),
        (utc(2026, 12, 1), "window_expired", "window_expired"),
    ],
)
def test_inference_known_by_day_counts_from_the_days_start(now, by_usage, with_an_exact_time):
    usage = known(last_inference=at(2026, 10, 1, days=1))
    both = usage.merged(known(utc(2026, 10, 1, 10)))
    reasons = [decide(OPENAI_SELF_SERVE, evidence, now).reason for evidence in (usage, both)]
    assert [by_usage, with_an_exact_time] == reasons


times = st.integers(int(utc(2026, 1, 1).timestamp()), int(utc(2028, 1, 1).timestamp())).map(
    lambda second: datetime.fromtimestamp(second, timezone.utc)
)
spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
refusals = st.none() | times.map(lambda at: Refusal(at=at, code="training_not_available"))


@given(now=times, ahead=spans)
def test_inference_dated_in_the_future_counts_as_one_of_now(now, ahead):
    eligibility = decide(ENDLESS, known(now + ahead), now)
    assert Verdict.ELIGIBLE is eligibility.verdict
    assert now + WINDOW == eligibility.window_closes_at


@given(last=st.none() | times, now=times, refusal=refusals)
def test_window_has_either_closed_or_a_closing_time(last, now, refusal):
    eligibility = decide(OPENAI_SELF_SERVE, known(last, refusal=refusal), now)
    assert None in (eligibility.window_closes_at, eligibility.window_closed_at)
    assert (eligibility.window_closes_at is None) is (eligibility.remaining is None)
    if eligibility.window_closes_at is not None:
        assert eligibility.window_closes_at > now
    if eligibility.window_closed_at is not None:
        assert eligibility.window_closed_at <= now
