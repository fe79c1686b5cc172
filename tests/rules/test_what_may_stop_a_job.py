"""The table of what may stop a job, held against random histories, and more evidence against less."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.facts import Refusal, Span
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.openai_api.requests import JobCreation, TrainingUpload
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.enforcement import Stop, enforce
from tests.support.constants import DAY, utc
from tests.support.facts import known, ran

START = utc(2026, 7, 5)
NOT_CLOSED_EVERYWHERE = utc(2027, 1, 5, 10)
CLOSED_EVERYWHERE = utc(2027, 1, 7, 12)
MINUTE = timedelta(minutes=1)
SETTINGS = ("raise", "warn", "allow")


def evidence_from(kind, at, within=timedelta(0)):
    """Return evidence that says one thing."""
    if kind == "inference":
        return known().recorded(ran(at, within=within))
    evidence_by_kind = {
        "refusal": {"refusal": Refusal(at=at, code="training_not_available")},
        "job": {"job_created_at": at, "fine_tuned_by": at},
        "no trace": {"no_trace_at": at},
        "trace": {"fine_tuned_by": at},
        "usage": {"usage_read": (Span(start=START - 100 * DAY, end=at),)},
    }[kind]
    return known(**evidence_by_kind)


def evidence_of(facts):
    """Return all that ``facts`` say together."""
    return reduce(Evidence.merged, (evidence_from(*description) for description in facts), known())


def stopped(call, eligibility):
    """Return the settings that stop ``call``."""
    return {
        setting
        for setting in SETTINGS
        if isinstance(enforce(call, eligibility, OPENAI_SELF_SERVE, setting), Stop)
    }


def by_the_table(facts, now):
    """Return the verdict and the settings that stop a call: the table again, in other words."""

    def of(kind):
        return [
            (at, at + (more[0] if more else timedelta(0)))
            for fact_kind, at, *more in facts
            if fact_kind == kind
        ]

    begins = now - 60 * DAY
    ran, refused = of("inference"), max(of("refusal"), default=None)
    happened = ran + of("job")
    if now >= CLOSED_EVERYWHERE:
        return "ineligible", {*SETTINGS}
    if refused and abs(now - refused[0]) < DAY and all(end < refused[0] for _, end in happened):
        return "ineligible", {*SETTINGS}
    if any(at > begins for at, _ in ran):
        is_disproved = refused is None or any(at > refused[0] for at, _ in happened)
        return ("eligible" if is_disproved and now < NOT_CLOSED_EVERYWHERE else "unknown"), set()
    may_be_open = any(end > begins for _, end in ran)
    read_just_now = any(begins < at and now - at < 10 * MINUTE for at, _ in of("usage"))
    is_sure = read_just_now and not may_be_open
    return ("ineligible" if is_sure else "unknown"), {"raise"}


def test_decisions_match_the_table_for_random_histories():
    dice = random.Random(20_260_702)
    kinds = ("inference", "inference", "refusal", "job", "no trace", "trace", "usage")
    seen = set()
    for _ in range(10_000):
        now = START + timedelta(minutes=dice.randrange(200 * 24 * 60))
        facts = []
        for kind in dice.choices(kinds, k=dice.randrange(6)):
            ago = dice.choice(
                (dice.randrange(10), dice.randrange(3 * 24 * 60), dice.randrange(100 * 24 * 60))
            )
            at = now - timedelta(minutes=ago)
            near_the_edge = now - 60 * DAY + timedelta(minutes=dice.randrange(-30, 30))
            at = dice.choice((at, at, near_the_edge)) if kind == "inference" else at
            within = dice.choice((timedelta(0), timedelta(0), MINUTE, DAY)) if kind == "inference" else None
            facts.append((kind, at) if within is None else (kind, at, within))
        eligibility = decide(OPENAI_SELF_SERVE, evidence_of(facts), now)
        verdict, expected = eligibility.verdict.value, by_the_table(facts, now)
        call = dice.choice((JobCreation(None), TrainingUpload()))
        assert expected == (verdict, stopped(call, eligibility)), (now, facts)
        seen.add((verdict, frozenset(expected[1])))
    assert 5 == len(seen)  # each row of the table was met


minutes = st.integers(0, 200 * 24 * 60).map(lambda many: START + timedelta(minutes=many))
precisions = st.sampled_from([timedelta(0), MINUTE, DAY])
past = st.one_of(
    st.tuples(st.just("inference"), minutes, precisions),
    st.tuples(st.sampled_from(["job", "no trace", "trace"]), minutes),
)
anything = past | st.tuples(st.sampled_from(["refusal", "usage"]), minutes)


@given(facts=st.lists(anything, max_size=5), more=past, now=minutes)
def test_more_evidence_never_stops_a_call(facts, more, now):
    """Only the API's refusal and usage may stop what went through before."""
    less, also = (
        decide(OPENAI_SELF_SERVE, evidence_of(facts_known), now) for facts_known in (facts, [*facts, more])
    )
    for call in (JobCreation(None), TrainingUpload()):
        assert stopped(call, less) >= stopped(call, also)
