from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.simulator import SimulatedClock

NEW_YEAR = datetime(2027, 1, 1, tzinfo=timezone.utc)


def test_clock_can_be_set_and_moved_both_ways():
    clock = SimulatedClock(NEW_YEAR)
    assert NEW_YEAR + timedelta(days=3) == clock.advance(timedelta(days=3))
    assert NEW_YEAR + timedelta(days=2) == clock.advance(timedelta(days=-1))
    clock.set(datetime(2027, 1, 1, 14, tzinfo=timezone(timedelta(hours=14))))
    assert (NEW_YEAR, timezone.utc) == (clock(), clock().tzinfo)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (lambda: SimulatedClock(NEW_YEAR.replace(tzinfo=None)), "time zone"),
        (lambda: SimulatedClock().set(NEW_YEAR.replace(tzinfo=None)), "time zone"),
        (lambda: SimulatedClock(running=True, speed=0), "running=False"),
    ],
)
def test_naive_time_and_speed_zero_are_refused(turn, expected):
    with pytest.raises(ValueError, match=expected):
        turn()


def test_clock_is_thread_safe():
    clock = SimulatedClock(NEW_YEAR)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: [clock.advance(timedelta(seconds=1)) for _ in range(200)], range(4)))
    assert NEW_YEAR + timedelta(seconds=800) == clock()


def test_running_clock_advances_at_its_speed(monkeypatch):
    elapsed = [0.0]
    monkeypatch.setattr("finetune_guard.simulator.clock.time.monotonic", lambda: elapsed[0])
    clock = SimulatedClock(NEW_YEAR, running=True, speed=60)
    elapsed[0] = 2.0
    assert NEW_YEAR + timedelta(minutes=2) == clock()
    clock.advance(timedelta(days=1))
    elapsed[0] = 3.0
    assert NEW_YEAR + timedelta(days=1, minutes=3) == clock()
