"""A process that is killed in the midst of a keep-alive costs one more inference at most."""

from __future__ import annotations

import signal

import pytest

from finetune_guard.simulator import Fault
from tests.fleet.fleet_casualties import DONE, POINTS, UNSENT, UNWRITTEN, meet_with, take_over
from tests.fleet.fleet_worker import CHAT, PATIENCE

pytestmark = [
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here"),
]
MOMENTS = tuple(number * 0.04 for number in range(1, 9))
"""Seconds after which some are killed, wherever they are then."""


@pytest.fixture
def slow(sim):
    """Makes an inference take its time."""
    sim.fault(Fault(path=CHAT, delay=0.2, times=None))


def test_another_takes_over(near, begin, slow, keep_alives):
    """Wherever the holder of the lease dies, one of the others takes over, and no two of them.

    As long as nothing was sent one inference is sent in all; when the holder dies before it could write
    what it sent down, one more; and none when it was written.
    """
    stages = dict(zip(POINTS, near(*(f"dies-{point}" for point in POINTS)), strict=True))
    for point, stage in stages.items():
        assert -signal.SIGKILL == begin(meet_with, stage, point, signal.SIGKILL).ended()
    others = [begin(take_over, tuple(stages.values())) for _ in range(2)]
    found = dict(zip(POINTS, zip(*(each.told() for each in others), strict=True), strict=True))

    sent = keep_alives()
    assert dict.fromkeys(UNSENT, 1) == {point: sent[f"dies-{point}"] for point in UNSENT}
    assert dict.fromkeys(UNWRITTEN, 2) == {point: sent[f"dies-{point}"] for point in UNWRITTEN}
    assert dict.fromkeys(DONE, 1) == {point: sent[f"dies-{point}"] for point in DONE}
    for point in UNSENT + UNWRITTEN:
        assert 1 == found[point].count("sent"), point
        assert {"sent", "not_due", "renewed_by_another"} >= set(found[point])
    assert dict.fromkeys(DONE, ("not_due", "not_due")) == {point: found[point] for point in DONE}


def test_death_at_any_moment_costs_one_more_at_most(near, begin, slow, keep_alives):
    """Killed at moments that nobody chose, the holder leaves a window that another renews, and only one."""
    stages = near(*(f"moment-{number}" for number in range(len(MOMENTS))))
    for stage, moment in zip(stages, MOMENTS, strict=True):
        assert -signal.SIGKILL == begin(meet_with, stage, moment, signal.SIGKILL).ended()
    others = [begin(take_over, stages) for _ in range(2)]
    found = list(zip(*(each.told() for each in others), strict=True))
    assert {1, 2} >= {keep_alives()[stage.slug] for stage in stages}
    assert {"sent", "renewed_by_another", "not_due"} >= {each for pair in found for each in pair}
    assert all(pair.count("sent") <= 1 for pair in found)
