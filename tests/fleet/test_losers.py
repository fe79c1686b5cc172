"""What those hear who don't send the one keep-alive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

import finetune_guard
from finetune_guard import FineTuningRefusedError, InferenceWindowExpiredError
from finetune_guard.simulator import Fault
from tests.fleet.fleet_attempts import IMPATIENT, ask_while_overloaded, send_without_a_trace, told
from tests.fleet.fleet_worker import PATIENCE
from tests.support.constants import BASE

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.timeout(2 * PATIENCE)


@pytest.fixture
def stage(near):
    (stage,) = near("acme-1")
    return stage


@pytest.fixture
def lease(stage, store):
    """The right to send, which somebody else has."""
    lease = store.lease("keep-alive/acme-1", HOUR)
    assert lease is not None
    return lease


def test_who_waited_in_vain_is_told(stage, lease, keep_alives):
    """While another has the right to send nothing is sent, and what is said claims no success."""
    with stage.connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client:
        assert "another_is_sending" == told(client.guard.keep_alive())
    assert {} == keep_alives()


def test_a_job_that_waited_in_vain_says_so(sim, stage, lease, keep_alives):
    """Where the window has lapsed, the error tells that another keep-alive was waited for."""
    later = sim.clock.advance(timedelta(days=2))
    with (
        stage.at(later).connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client,
        pytest.raises(InferenceWindowExpiredError, match="Keep-alive: Another thread or process is sending"),
    ):
        client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
    assert {} == keep_alives()


def test_a_refusal_that_came_meanwhile_is_not_called_a_renewal(sim, stage, lease, store, keep_alives):
    """Who waits while the API refuses another's job hears of the refusal, not that all is well."""
    sim.fault(Fault.training_not_available())
    with stage.connect(finetune_guard.OpenAI) as client, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(client.guard.keep_alive)
        with pytest.raises(FineTuningRefusedError):
            client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
        assert "refused" == told(waiting.result(PATIENCE))
    assert {} == keep_alives()


def test_an_overloaded_store_makes_nobody_send_a_second_one(stage, lease, begin, keep_alives):
    """A store that once didn't answer in time is asked again, before a process acts on its own."""
    assert ("another_is_sending", True) == begin(ask_while_overloaded, stage).told()
    assert {} == keep_alives()


def test_what_could_not_be_written_down_is_not_sent_again_at_once(stage, begin, keep_alives):
    """As long as its sender may still write it down, nobody sends another."""
    assert "sent" == begin(send_without_a_trace, stage).told()
    with stage.connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client:
        assert "another_is_sending" == told(client.guard.keep_alive())
    assert {"acme-1": 1} == keep_alives()
