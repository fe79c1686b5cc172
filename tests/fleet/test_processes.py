"""One keep-alive for a whole fleet of processes."""

from __future__ import annotations

import pytest

import finetune_guard
from finetune_guard import Source
from finetune_guard.simulator import Fault
from tests.fleet.fleet_attempts import ASKED, CREATED, LOOKED, SHARES, attempt
from tests.fleet.fleet_worker import CHAT, PATIENCE
from tests.support.constants import TRAINING_DATA

PROCESSES = 8
pytestmark = pytest.mark.timeout(2 * PATIENCE)


@pytest.fixture
def results(sim, near, processes, begin):
    """What came of fifty attempts in each of eight processes, while the one inference takes its time."""
    (stage,) = near("acme-1")
    with stage.connect(finetune_guard.OpenAI) as client:
        file = client.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune").id
    sim.fault(Fault(path=CHAT, delay=0.5, times=None))
    barrier = processes.Barrier(PROCESSES)
    fleet = [begin(attempt, stage, file, barrier) for _ in range(PROCESSES)]
    found = [result for each in fleet for result in each.told()]
    assert [0] * PROCESSES == [each.ended() for each in fleet]
    return found


def test_four_hundred_attempts_send_one(results, keep_alives, store):
    """Whoever asks, creates a job or looks after the window in the background: one inference is sent.

    Everybody else is told so, all jobs are created, and nobody gets an error.
    """
    assert {"acme-1": 1} == keep_alives()
    assert {ASKED, CREATED, LOOKED} == {kind for kind, _ in results}
    assert [2 * PROCESSES * share for share in SHARES.values()] == [
        sum(kind == each for each, _ in results) for kind in SHARES
    ]
    asked = [result for kind, result in results if kind == ASKED]
    assert asked.count("sent") <= 1
    assert {"renewed_by_another", "not_due", "sent"} >= set(asked)
    assert {"validating_files"} == {result for kind, result in results if kind == CREATED}
    assert {"eligible"} == {result for kind, result in results if kind == LOOKED}
    counts = store.history("acme-1").daily.values()
    assert {Source.OBSERVED: 1, Source.KEEP_ALIVE: 1} == {s: n for day in counts for s, n in day.items()}
