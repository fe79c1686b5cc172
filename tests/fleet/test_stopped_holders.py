"""A process that is stopped for longer than its lease lasts does no harm when it goes on."""

from __future__ import annotations

import signal
import time
from datetime import timedelta

import pytest

from finetune_guard.simulator import Fault
from tests.fleet.fleet_casualties import (
    CHOSEN,
    DONE,
    LEASED,
    LOOKED,
    POINTS,
    SENDING,
    UNWRITTEN,
    meet_with,
    take_over,
)
from tests.fleet.fleet_worker import CHAT, PATIENCE

pytestmark = [
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here"),
]
HOUR = timedelta(hours=1)


def test_it_disturbs_nobody(near, begin, sim, store, keep_alives):
    """What it had not sent it sends no more, unless it was in the very act; all others were served meanwhile.

    It gives nobody else's lease back, and the latest inference that is known stays the latest.
    """
    sim.fault(Fault(path=CHAT, delay=0.1, times=None))
    stages = dict(zip(POINTS, near(*(f"stops-{point}" for point in POINTS)), strict=True))
    stopped = {}
    for point, stage in stages.items():
        stopped[point] = begin(meet_with, stage, point, signal.SIGSTOP)
        assert "hit" == stopped[point].told()

    before = next(iter(stages.values())).now
    sim.clock.set(before + HOUR)
    other = begin(take_over, tuple(stage.at(before + HOUR) for stage in stages.values()))
    taken_over = dict(zip(POINTS, other.told(), strict=True))
    names = {point: f"keep-alive/{stage.slug}" for point, stage in stages.items()}
    for name in names.values():
        while store.lease(name, HOUR) is None:
            time.sleep(0.05)  # it is the stopped one's still
    known = {point: store.evidence(stage.slug).last_inference for point, stage in stages.items()}
    found = {point: each.go_on() for point, each in stopped.items()}

    assert dict.fromkeys(POINTS) == {point: store.lease(name, HOUR) for point, name in names.items()}
    assert known == {point: store.evidence(stage.slug).last_inference for point, stage in stages.items()}
    sent = {point: keep_alives()[stage.slug] for point, stage in stages.items()}
    early, late = (LEASED, LOOKED, CHOSEN), (SENDING, *UNWRITTEN)
    assert {**dict.fromkeys(early + DONE, 1), **dict.fromkeys(late, 2)} == sent
    assert {**dict.fromkeys(early, "renewed_by_another"), **dict.fromkeys(late + DONE, "sent")} == found
    assert {point: "not_due" if point in DONE else "sent" for point in POINTS} == taken_over
