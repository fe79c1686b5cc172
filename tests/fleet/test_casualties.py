"""A process that is killed or stopped during a keep-alive costs at most one more inference."""

from __future__ import annotations

import signal
import time

import pytest

from finetune_guard.simulator import Fault
from tests.fleet.fleet_casualties import (
    CHOSEN,
    DONE,
    LEASED,
    LOOKED,
    POINTS,
    SENDING,
    UNSENT,
    UNWRITTEN,
    send_with_accident,
    take_over,
)
from tests.fleet.fleet_worker import CHAT, PATIENCE
from tests.support.constants import HOUR

pytestmark = [
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there are no such signals here"),
]
NOT_SENT = {"not_due", "renewed_by_another"}


@pytest.fixture(autouse=True)
def _slow(sim):
    """Makes an inference take its time, but less than one who was stopped waits for it."""
    sim.fault(Fault(path=CHAT, delay=0.1, times=None))


@pytest.fixture
def stages(closing_windows):
    """An organization for each point at which something happens."""
    return dict(zip(POINTS, closing_windows(*(f"at-{point}" for point in POINTS)), strict=True))


def test_another_process_takes_over_from_a_killed_lease_holder(stages, begin, keep_alives):
    """It sends only if no keep-alive is recorded."""
    for point, stage in stages.items():
        assert -signal.SIGKILL == begin(send_with_accident, stage, point, signal.SIGKILL).ended()
    others = [begin(take_over, tuple(stages.values())) for _ in range(2)]
    results = dict(zip(POINTS, zip(*(process.receive() for process in others), strict=True), strict=True))
    expected = dict.fromkeys(UNSENT + DONE, 1) | dict.fromkeys(UNWRITTEN, 2)
    assert expected == {point: keep_alives()[stage.slug] for point, stage in stages.items()}
    for point in UNSENT + UNWRITTEN:
        assert 1 == results[point].count("sent"), point
        assert set(results[point]) - {"sent"} <= NOT_SENT
    assert dict.fromkeys(DONE, ("not_due", "not_due")) == {point: results[point] for point in DONE}


def test_resumed_lease_holder_sends_and_releases_nothing(stages, begin, sim, store, keep_alives):
    stopped = {}
    for point, stage in stages.items():
        stopped[point] = begin(send_with_accident, stage, point, signal.SIGSTOP)
        assert "hit" == stopped[point].receive()
    later = sim.clock.advance(HOUR)
    other = begin(take_over, tuple(stage.at(later) for stage in stages.values()))
    taken_over = dict(zip(POINTS, other.receive(), strict=True))
    names = {point: f"keep-alive/{stage.slug}" for point, stage in stages.items()}
    for name in names.values():
        while store.lease(name, HOUR) is None:
            time.sleep(0.05)  # it is the stopped one's still
    known = {point: store.evidence(stage.slug).last_inference for point, stage in stages.items()}
    results = {point: process.go_on() for point, process in stopped.items()}
    assert dict.fromkeys(POINTS) == {point: store.lease(name, HOUR) for point, name in names.items()}
    assert known == {point: store.evidence(stage.slug).last_inference for point, stage in stages.items()}
    early, late = (LEASED, LOOKED, CHOSEN), (SENDING, *UNWRITTEN)
    assert {**dict.fromkeys(early + DONE, 1), **dict.fromkeys(late, 2)} == {
        point: keep_alives()[stage.slug] for point, stage in stages.items()
    }
    assert {**dict.fromkeys(early, "renewed_by_another"), **dict.fromkeys(late + DONE, "sent")} == results
    assert {point: "not_due" if point in DONE else "sent" for point in POINTS} == taken_over
