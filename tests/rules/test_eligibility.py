"""Whether jobs may be created: the rules, one by one, and what holds for all of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.facts import Coverage, Inference, Refusal, Source, Span, united
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.eligibility import decide, explained

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
WINDOW = timedelta(days=60)
ENDLESS = AccessPolicy(
    name="endless",
    phases=(
        Phase(starts_on=None, requirement=Requirement.NONE),
        Phase(starts_on=date(2020, 1, 1), requirement=Requirement.RECENT_INFERENCE, window=WINDOW),
    ),
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


def known(last: datetime | None = None, **facts: object) -> Evidence:
    evidence = Evidence(organization="acme-28gund", **facts)
    if last is None:
        return evidence
    return evidence.recorded(Inference(organization="acme-28gund", model=MODEL, at=last))


REFUSAL = Refusal(at=utc(2026, 9, 1), code="training_not_available")


@pytest.mark.parametrize(
    ("now", "evidence", "verdict", "reason"),
    [
        (utc(2026, 4, 1), known(), Verdict.ELIGIBLE, Reason.NO_REQUIREMENT),
        (utc(2026, 6, 1), known(), Verdict.UNKNOWN, Reason.NO_INFERENCE_RECORDED),
        (utc(2026, 6, 1), known(no_trace_at=utc(2026, 5, 30)), Verdict.UNKNOWN, Reason.NEVER_FINE_TUNED),
        (utc(2026, 6, 1), known(fine_tuned_by=utc(2025, 1, 1)), Verdict.ELIGIBLE, Reason.EARLIER_FINE_TUNING),
        (utc(2026, 6, 1), known(utc(2025, 1, 1)), Verdict.ELIGIBLE, Reason.EARLIER_FINE_TUNING),
        (utc(2026, 8, 1), known(), Verdict.UNKNOWN, Reason.NO_INFERENCE_RECORDED),
        (
            utc(2026, 8, 1),
            known(fine_tuned_by=utc(2025, 1, 1)),
            Verdict.UNKNOWN,
            Reason.NO_INFERENCE_RECORDED,
        ),
        (utc(2026, 8, 1), known(no_trace_at=utc(2026, 7, 30)), Verdict.UNKNOWN, Reason.NEVER_FINE_TUNED),
        (
            utc(2026, 8, 1),
            known(no_trace_at=utc(2026, 7, 30), fine_tuned_by=utc(2025, 1, 1)),
            Verdict.UNKNOWN,
            Reason.NO_INFERENCE_RECORDED,
        ),
        (utc(2026, 8, 1), known(utc(2026, 7, 31)), Verdict.ELIGIBLE, Reason.RECENT_INFERENCE),
        (utc(2026, 11, 1), known(utc(2026, 7, 31)), Verdict.UNKNOWN, Reason.WINDOW_EXPIRED),
        (utc(2027, 2, 1), known(utc(2027, 1, 31)), Verdict.INELIGIBLE, Reason.CLOSED),
        (
            utc(2027, 2, 1),
            known(refusal=Refusal(at=utc(2027, 2, 1), code="no")),
            Verdict.INELIGIBLE,
            Reason.CLOSED,
        ),
    ],
)
def test_each_rule(now, evidence, verdict, reason):
    """Each phase's requirement, and the API's refusal, decide as the module's rules say."""
    eligibility = decide(OPENAI_SELF_SERVE, evidence, now)
    assert (verdict, reason) == (eligibility.verdict, eligibility.reason)
    assert now == eligibility.checked_at


@pytest.mark.parametrize(
    ("now", "evidence", "reason"),
    [
        (utc(2026, 5, 7), known(), Reason.POLICY_BOUNDARY),
        (utc(2026, 5, 7), known(fine_tuned_by=utc(2025, 1, 1)), Reason.NO_REQUIREMENT),
        (utc(2026, 7, 2), known(utc(2026, 7, 1)), Reason.EARLIER_FINE_TUNING),
        (utc(2026, 7, 2), known(utc(2025, 7, 1)), Reason.POLICY_BOUNDARY),
        (utc(2027, 1, 6), known(utc(2027, 1, 1)), Reason.POLICY_BOUNDARY),
        (utc(2027, 1, 6), known(utc(2026, 8, 1)), Reason.WINDOW_EXPIRED),
        (utc(2027, 1, 6), known(), Reason.NO_INFERENCE_RECORDED),
        (utc(2027, 1, 6), known(refusal=Refusal(at=utc(2027, 1, 6), code="no")), Reason.REFUSED),
    ],
)
def test_while_a_date_is_crossed_both_phases_are_asked(now, evidence, reason):
    """Where both phases agree, that is the answer; where they don't, only the API knows."""
    eligibility = decide(OPENAI_SELF_SERVE, evidence, now)
    assert reason is eligibility.reason
    sure = {
        Reason.NO_REQUIREMENT: "eligible",
        Reason.EARLIER_FINE_TUNING: "eligible",
        Reason.REFUSED: "ineligible",
    }
    assert sure.get(reason, "unknown") == eligibility.verdict.value


def at(*parts: int, **precision: int) -> Inference:
    return Inference(organization="acme-28gund", model=MODEL, at=utc(*parts), within=timedelta(**precision))


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
def test_a_refusal_is_believed_for_a_day_and_only_if_nothing_may_be_later(now, facts, reason):
    """A refusal that is old, or that an inference or a job may have followed, is asked about again."""
    eligibility = decide(OPENAI_SELF_SERVE, known(refusal=REFUSAL, **facts), now)
    assert reason is eligibility.reason
    assert (reason in (Reason.REFUSED, Reason.REFUSAL_IN_DOUBT)) is (eligibility.refusal is not None)


def test_how_long_a_refusal_is_believed_can_be_set():
    """Whoever wants the API asked sooner says so."""
    evidence, now = known(refusal=REFUSAL), utc(2026, 9, 1, 2)
    believed = decide(OPENAI_SELF_SERVE, evidence, now, refusal_ttl=timedelta(hours=3))
    asked = decide(OPENAI_SELF_SERVE, evidence, now, refusal_ttl=timedelta(hours=2))
    assert (Reason.REFUSED, Reason.NO_INFERENCE_RECORDED) == (believed.reason, asked.reason)


def test_the_exact_instant_of_the_sixtieth_day():
    """The window is open until just before the sixtieth day has passed, and not at that instant."""
    last = utc(2026, 8, 1, 12, 30)
    before = decide(OPENAI_SELF_SERVE, known(last), last + WINDOW - timedelta(microseconds=1))
    after = decide(OPENAI_SELF_SERVE, known(last), last + WINDOW)
    assert (Verdict.ELIGIBLE, Verdict.UNKNOWN) == (before.verdict, after.verdict)
    assert (True, True, False, False) == (before.ok, bool(before), after.ok, bool(after))
    assert (last + WINDOW, None, timedelta(microseconds=1)) == (
        before.window_closes_at,
        before.window_closed_at,
        before.remaining,
    )
    assert (None, last + WINDOW, None) == (after.window_closes_at, after.window_closed_at, after.remaining)


def test_a_leap_day_is_a_day():
    """Sixty days are sixty times 24 hours, whatever the calendar holds."""
    last = utc(2028, 2, 1)
    assert utc(2028, 4, 1) == decide(ENDLESS, known(last), utc(2028, 2, 29)).window_closes_at


def test_an_eligibility_says_what_it_rests_on():
    """Organization, inference, coverage, the closing day and the remedy come with every answer."""
    eligible = decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1)), utc(2026, 8, 2))
    assert ("acme-28gund", MODEL) == (eligible.organization, eligible.last_inference.model)
    assert (Coverage.LOCAL, date(2027, 1, 6), None) == (
        eligible.coverage,
        eligible.creation_ends_on,
        eligible.remedy,
    )
    expired = decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1)), utc(2026, 11, 2))
    assert "keep_alive" in expired.remedy
    refused = decide(OPENAI_SELF_SERVE, known(refusal=REFUSAL), utc(2026, 9, 1, 2))
    assert REFUSAL == refused.refusal
    assert eligible.refusal is None


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
def test_jobs_can_be_created_until_the_window_or_the_policy_ends(last, now, until):
    """The earlier of both counts, and nothing is promised where the verdict is not eligible."""
    eligibility = decide(OPENAI_SELF_SERVE, known(last), now)
    assert until == eligibility.jobs_until
    assert until is None or f"{until:%Y-%m-%dT%H:%M:%SZ}" == eligibility.model_dump(mode="json")["jobs_until"]


def test_a_hash_is_not_shown_as_an_organization():
    """Where only a key is known, the organization is None and not the name that stands in for it."""
    assert decide(ENDLESS, Evidence(organization="key:0123"), utc(2026, 8, 2)).organization is None


def test_a_policy_without_an_end_has_no_closing_day():
    """No closing day is made up."""
    assert decide(ENDLESS, known(), utc(2026, 8, 2)).creation_ends_on is None


def test_an_eligibility_survives_json():
    """What ``model_dump_json`` prints can be read back, and durations are seconds."""
    eligibility = decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1)), utc(2026, 8, 2))
    assert eligibility == Eligibility.model_validate_json(eligibility.model_dump_json())
    assert 59 * 86_400 == eligibility.model_dump(mode="json")["remaining"]
    unknown = explained(OPENAI_SELF_SERVE, known(), utc(2026, 8, 2), Reason.HISTORY_UNAVAILABLE)
    assert unknown == Eligibility.model_validate_json(unknown.model_dump_json())


def test_words_read_as_their_values():
    """A verdict or a reason in a sentence is its plain word, on every release of Python."""
    assert (
        "eligible because of recent_inference" == f"{Verdict.ELIGIBLE} because of {Reason.RECENT_INFERENCE}"
    )
    assert Verdict.UNKNOWN == "unknown"


def test_a_naive_time_is_refused():
    """No time zone is guessed for the moment of a decision."""
    with pytest.raises(ValueError, match="time zone"):
        decide(OPENAI_SELF_SERVE, known(), datetime(2026, 8, 1))  # noqa: DTZ001 -- that is the point


def read(start: datetime, end: datetime) -> tuple[Span, ...]:
    return (Span(start=start, end=end),)


@pytest.mark.parametrize(
    ("usage_read", "verdict", "reason"),
    [
        ((), Verdict.UNKNOWN, Reason.NO_INFERENCE_RECORDED),
        (read(utc(2026, 9, 1), utc(2026, 11, 1)), Verdict.INELIGIBLE, Reason.NO_RECENT_INFERENCE),
        (read(utc(2026, 9, 1), utc(2026, 10, 31, 23, 51)), Verdict.INELIGIBLE, Reason.NO_RECENT_INFERENCE),
        (read(utc(2026, 9, 1), utc(2026, 10, 31, 23, 50)), Verdict.UNKNOWN, Reason.NO_INFERENCE_RECORDED),
        (read(utc(2026, 9, 3), utc(2026, 11, 1)), Verdict.UNKNOWN, Reason.NO_INFERENCE_RECORDED),
    ],
)
def test_only_a_fresh_reading_of_the_whole_window_proves_that_nothing_was_run(usage_read, verdict, reason):
    """A reading with a gap, or one that is ten minutes old, leaves it open whether someone ran one."""
    eligibility = decide(OPENAI_SELF_SERVE, known(usage_read=usage_read), utc(2026, 11, 1))
    assert (verdict, reason) == (eligibility.verdict, eligibility.reason)
    lapsed = decide(OPENAI_SELF_SERVE, known(utc(2026, 8, 1), usage_read=usage_read), utc(2026, 11, 1))
    assert (verdict, reason is Reason.NO_RECENT_INFERENCE) == (
        lapsed.verdict,
        lapsed.reason is Reason.NO_RECENT_INFERENCE,
    )


def test_coverage_says_up_to_when_the_organization_is_known():
    """It is the organization's where the usage was read from the window's beginning up to lately."""
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
    ("now", "verdict", "reason"),
    [
        (utc(2026, 11, 29, 23, 59), Verdict.ELIGIBLE, Reason.RECENT_INFERENCE),
        (utc(2026, 11, 30), Verdict.UNKNOWN, Reason.WINDOW_EDGE),
        (utc(2026, 11, 30, 23, 59), Verdict.UNKNOWN, Reason.WINDOW_EDGE),
        (utc(2026, 12, 1), Verdict.UNKNOWN, Reason.WINDOW_EXPIRED),
    ],
)
def test_at_the_edge_nobody_knows_more_than_the_usage_tells(now, verdict, reason):
    """An inference known to its day keeps the window open from its start, and closes it at its end."""
    eligibility = decide(OPENAI_SELF_SERVE, known(last_inference=at(2026, 10, 1, days=1)), now)
    assert (verdict, reason) == (eligibility.verdict, eligibility.reason)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (utc(2026, 11, 30, 9, 59), Reason.RECENT_INFERENCE),
        (utc(2026, 11, 30, 10), Reason.WINDOW_EDGE),
        (utc(2026, 12, 1), Reason.WINDOW_EXPIRED),
    ],
)
def test_an_exact_time_does_not_hide_that_there_may_be_a_later_one(now, reason):
    """What was seen at 10:00, and some time of the same day read from the usage, both count."""
    seen, read_from_usage = known(utc(2026, 10, 1, 10)), known(last_inference=at(2026, 10, 1, days=1))
    both = (seen.merged(read_from_usage), read_from_usage.merged(seen))
    assert [reason, reason] == [decide(OPENAI_SELF_SERVE, evidence, now).reason for evidence in both]


times = st.integers(int(utc(2026, 1, 1).timestamp()), int(utc(2028, 1, 1).timestamp())).map(
    lambda second: datetime.fromtimestamp(second, timezone.utc)
)
spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
refusals = st.none() | times.map(lambda at: Refusal(at=at, code="training_not_available"))


@given(last=times, now=times, hours=st.integers(-12, 14))
def test_no_time_zone_changes_an_answer(last, now, hours):
    """The same instants, written in any zone, give the same answer."""
    zone = timezone(timedelta(hours=hours))
    here = decide(OPENAI_SELF_SERVE, known(last), now)
    there = decide(OPENAI_SELF_SERVE, known(last.astimezone(zone)), now.astimezone(zone))
    assert here == there


@given(now=times, ahead=spans)
def test_a_clock_that_was_ahead_extends_nothing(now, ahead):
    """An inference dated after now keeps the window open no longer than one of now would."""
    eligibility = decide(ENDLESS, known(now + ahead), now)
    assert Verdict.ELIGIBLE is eligibility.verdict
    assert now + WINDOW == eligibility.window_closes_at


@given(last=st.none() | times, now=times, refusal=refusals)
def test_open_and_closed_windows_exclude_each_other(last, now, refusal):
    """A window closes in the future or closed in the past, never both; without inferences neither."""
    eligibility = decide(OPENAI_SELF_SERVE, known(last, refusal=refusal), now)
    assert None in (eligibility.window_closes_at, eligibility.window_closed_at)
    assert (eligibility.window_closes_at is None) is (eligibility.remaining is None)
    if eligibility.window_closes_at is not None:
        assert eligibility.window_closes_at > now
    if eligibility.window_closed_at is not None:
        assert eligibility.window_closed_at <= now


pieces = st.lists(
    st.builds(
        Evidence,
        organization=st.just("acme-28gund"),
        last_inference=st.none()
        | st.builds(
            Inference,
            organization=st.just("acme-28gund"),
            model=st.sampled_from([MODEL, "ft:gpt-4.1-2025-04-14:acme::B"]),
            at=times,
            source=st.sampled_from(Source),
            within=st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(days=1)]),
        ),
        fine_tuned_by=st.none() | times,
        no_trace_at=st.none() | times,
        refusal=refusals,
        usage_read=st.lists(
            st.tuples(times, spans).filter(lambda ends: ends[1] > timedelta(0)), max_size=2
        ).map(lambda many: united(Span(start=start, end=start + length) for start, length in many)),
    ),
    min_size=1,
    max_size=5,
)


@given(many=pieces, now=times, data=st.data())
def test_no_order_of_evidence_changes_a_verdict(many, now, data):
    """Observed, read from usage, batches or jobs, early, late or twice: the answer is the same."""
    shuffled = data.draw(st.permutations([*many, *many]))
    one, other = (reduce(Evidence.merged, order) for order in (many, shuffled))
    assert decide(OPENAI_SELF_SERVE, one, now) == decide(OPENAI_SELF_SERVE, other, now)
