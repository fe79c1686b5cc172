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


def lasting(after):
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
def test_it_sleeps_until_a_keep_alive_is_due(expected, after):
    """It wakes when the window closes within renew_within, and looks every hour until then."""
    assert expected == delay_until_due(KeepAlive(), lasting(after))


def test_it_is_over_once_nobody_can_create_jobs():
    """Only the policy's last date ends it; where no window is known it looks every hour."""
    assert [LONGEST, LONGEST] == [delay_until_due(KeepAlive(), each) for each in (NOTHING_KNOWN, CLOSED)]
    assert [True, False, False] == [is_over(each) for each in (CLOSED, NOTHING_KNOWN, lasting(WINDOW))]


def test_hosts_wake_one_after_the_other():
    """Each draws by how much later than the others it wakes: up to a twentieth of renew_within."""
    configured = KeepAlive(renew_within=timedelta(days=10), model=FINE_TUNED, background=True)
    assert configured == with_jitter(configured, 0.0)
    assert timedelta(days=9, hours=12) == with_jitter(configured, 1.0).renew_within
    assert FINE_TUNED == with_jitter(configured, 1.0).model


def test_failures_are_followed_by_longer_and_longer_waits():
    """A minute at first, twice as long after each further failure, an hour at most."""
    waits = [retry_delay(failures, None, 0.0) for failures in (1, 2, 3, 7, 8, 10_000)]
    assert [timedelta(minutes=minutes) for minutes in (1, 2, 4, 60, 60, 60)] == waits
    assert timedelta(minutes=30) == retry_delay(100, None, 1.0)  # by lot, up to half is taken off


def test_near_the_end_of_the_window_it_tries_more_often():
    """A failure never costs more than a tenth of the time that is left, so that ten tries remain."""
    assert timedelta(minutes=3) == retry_delay(100, lasting(WINDOW - timedelta(minutes=30)), 0.0)
    assert SHORTEST == retry_delay(100, lasting(WINDOW - timedelta(seconds=1)), 0.0)


AFTER = st.timedeltas(timedelta(0), timedelta(days=300))
POLICIES = st.builds(
    KeepAlive, renew_within=st.timedeltas(timedelta(microseconds=1), WINDOW - timedelta(days=1))
)


@given(POLICIES, AFTER, st.integers(1, 10**9), LOTS)
def test_it_never_runs_hot_and_never_sleeps_for_long(keep_alive, after, failures, lot):
    """Whatever happens, a second passes between two looks at least, and an hour at most."""
    eligibility = lasting(after)
    for wait in (delay_until_due(keep_alive, eligibility), retry_delay(failures, eligibility, lot)):
        assert SHORTEST <= wait <= LONGEST


@given(POLICIES, LOTS)
def test_it_never_wakes_later_than_half_of_renew_within(keep_alive, lot):
    """However the lot falls, half of renew_within is left for tries when the first one is due."""
    spread = with_jitter(keep_alive, lot)
    assert keep_alive.renew_within / 2 <= spread.renew_within <= keep_alive.renew_within
    assert is_due(spread, lasting(WINDOW - keep_alive.renew_within / 2 + timedelta(microseconds=1)))
