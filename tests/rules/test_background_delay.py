"""When a background keep-alive checks the window again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.rules.keep_alive import (
    LONGEST,
    SHORTEST,
    KeepAlive,
    delay_until_due,
    is_due,
    is_over,
    retry_delay,
    with_jitter,
)
from tests.support.constants import FINE_TUNED, START, utc
from tests.support.facts import decided

WINDOW = timedelta(days=60)
LOTS = st.floats(0, 1)
NOTHING_KNOWN, CLOSED = decided(START), decided(utc(2027, 2, 1))


def eligible_after(after):
    """What is known some time after the last inference."""
    return decided(START + after, START)


@pytest.mark.parametrize(
    ("expected", "after"),
    [
        (timedelta(hours=1), timedelta(0)),
        (timedelta(hours=1), timedelta(days=45)),
        (timedelta(minutes=20), timedelta(days=46, minutes=-20)),
        (SHORTEST, timedelta(days=46, microseconds=-1)),
        (LONGEST, timedelta(days=46)),
        (LONGEST, timedelta(days=61)),
    ],
    ids=["just renewed", "long before", "soon", "at once", "due although sent", "lapsed although sent"],
)
def test_sleeps_until_a_keep_alive_is_due_and_an_hour_at_most(expected, after):
    assert expected == delay_until_due(KeepAlive(), eligible_after(after))


def test_ends_only_after_the_policys_last_date():
    """Where no window is known it checks every hour."""
    assert [LONGEST, LONGEST] == [
        delay_until_due(KeepAlive(), eligibility) for eligibility in (NOTHING_KNOWN, CLOSED)
    ]
    assert [True, False, False] == [
        is_over(eligibility) for eligibility in (CLOSED, NOTHING_KNOWN, eligible_after(WINDOW))
    ]


def test_hosts_wake_at_random_offsets():
    """The offset is up to a twentieth of ``renew_within``."""
    configured = KeepAlive(renew_within=timedelta(days=10), model=FINE_TUNED, background=True)
    assert configured == with_jitter(configured, 0.0)
    assert timedelta(days=9, hours=12) == with_jitter(configured, 1.0).renew_within
    assert FINE_TUNED == with_jitter(configured, 1.0).model


def test_waits_double_after_failures_up_to_an_hour():
    waits = [retry_delay(failures, None, 0.0) for failures in (1, 2, 3, 7, 8, 10_000)]
    assert [timedelta(minutes=minutes) for minutes in (1, 2, 4, 60, 60, 60)] == waits
    assert timedelta(minutes=30) == retry_delay(100, None, 1.0)  # by lot, up to half is taken off


def test_failure_costs_at_most_a_tenth_of_the_time_left():
    assert timedelta(minutes=3) == retry_delay(100, eligible_after(WINDOW - timedelta(minutes=30)), 0.0)
    assert SHORTEST == retry_delay(100, eligible_after(WINDOW - timedelta(seconds=1)), 0.0)


AFTER = st.timedeltas(timedelta(0), timedelta(days=300))
POLICIES = st.builds(
    KeepAlive, renew_within=st.timedeltas(timedelta(microseconds=1), WINDOW - timedelta(days=1))
)


@given(POLICIES, AFTER, st.integers(1, 10**9), LOTS)
def test_delay_is_between_a_second_and_an_hour(keep_alive, after, failures, lot):
    eligibility = eligible_after(after)
    for wait in (delay_until_due(keep_alive, eligibility), retry_delay(failures, eligibility, lot)):
        assert SHORTEST <= wait <= LONGEST


@given(POLICIES, LOTS)
def test_wakes_before_half_of_renew_within_has_passed(keep_alive, lot):
    spread = with_jitter(keep_alive, lot)
    assert keep_alive.renew_within / 2 <= spread.renew_within <= keep_alive.renew_within
    assert is_due(spread, eligible_after(WINDOW - keep_alive.renew_within / 2 + timedelta(microseconds=1)))
