"""The dated rules of a policy."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
from tests.support.constants import utc

NONE, EARLIER, RECENT, CLOSED = OPENAI_SELF_SERVE.phases


def test_openai_policy_has_the_published_dates_window_and_hosts():
    assert [None, date(2026, 5, 7), date(2026, 7, 2), date(2027, 1, 6)] == [
        phase.starts_on for phase in OPENAI_SELF_SERVE.phases
    ]
    assert timedelta(days=60) == OPENAI_SELF_SERVE.window
    assert (CLOSED, None) == (OPENAI_SELF_SERVE.closing, NONE.begins)
    assert ("api.openai.com", "*.api.openai.com") == OPENAI_SELF_SERVE.hosts


@pytest.mark.parametrize(
    ("now", "holding"),
    [
        (utc(2026, 1, 1), (NONE,)),
        (utc(2026, 5, 6, 9, 59, 59), (NONE,)),
        (utc(2026, 5, 6, 10), (NONE, EARLIER)),
        (utc(2026, 5, 8, 11, 59, 59), (NONE, EARLIER)),
        (utc(2026, 5, 8, 12), (EARLIER,)),
        (utc(2026, 7, 1, 10), (EARLIER, RECENT)),
        (utc(2026, 7, 3, 12), (RECENT,)),
        (utc(2027, 1, 5, 9, 59, 59), (RECENT,)),
        (utc(2027, 1, 5, 10), (RECENT, CLOSED)),
        (utc(2027, 1, 7, 12), (CLOSED,)),
        (utc(2030, 1, 1), (CLOSED,)),
    ],
)
def test_both_phases_hold_from_utc_plus_14_to_utc_minus_12(now, holding):
    assert holding == OPENAI_SELF_SERVE.phases_at(now)


def test_policy_may_have_one_phase():
    policy = AccessPolicy(name="open", phases=(Phase(starts_on=None, requirement=Requirement.NONE),))
    assert policy.closing is None
    assert policy.window is None
    assert policy.phases == policy.phases_at(utc(2026, 1, 1))


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ((), "at least 1"),
        ((RECENT,), "first phase"),
        ((NONE, NONE), "needs a starts_on"),
        ((NONE, RECENT, EARLIER), "in the order of their dates"),
        ((NONE, EARLIER, EARLIER.model_copy(update={"starts_on": date(2026, 5, 9)})), "three days apart"),
    ],
)
def test_phases_out_of_order_are_refused(phases, expected):
    with pytest.raises(ValidationError, match=expected):
        AccessPolicy(name="wrong", phases=phases)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ({"requirement": "recent_inference"}, "window is given"),
        ({"requirement": "closed", "window": timedelta(days=1)}, "window is given"),
        ({"requirement": "recent_inference", "window": timedelta(0)}, "greater than"),
        ({"requirement": "recent_inference", "window": timedelta.max}, "less than or equal to"),
        ({"requirement": "closed", "starts_on": date(1, 1, 1)}, "greater than or equal to 2000-01-01"),
        ({"requirement": "closed", "starts_on": date(9999, 12, 31)}, "less than 2201-01-01"),
        ({"requirement": "none", "rule": "one\ntwo"}, "printable text on one line"),
    ],
)
def test_phase_with_an_impossible_window_is_refused(phase, expected):
    with pytest.raises(ValidationError, match=expected):
        Phase.model_validate({"starts_on": None, **phase})
