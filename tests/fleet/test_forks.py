"""Processes that are forked while a thread sends a keep-alive."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import finetune_guard
from finetune_guard import KeepAlive
from finetune_guard.simulator import Fault
from tests.fleet.fleet_attempts import result_word
from tests.fleet.fleet_worker import CHAT, PATIENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
]


def test_forked_child_hears_of_the_parents_keep_alive(closing_windows, sim, store, keep_alives):
    """No lease is lost with a thread of the parent."""
    (stage,) = closing_windows("acme-1")
    sim.fault(Fault(path=CHAT, delay=1, times=None))
    with (
        stage.connect(finetune_guard.OpenAI, keep_alive=KeepAlive()) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        sending = thread.submit(client.guard.keep_alive)
        while not sending.done():
            lease = store.lease("keep-alive/acme-1", KeepAlive().deadline)
            if lease is None:
                break
            store.release(lease)
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            told_right = False
            try:
                told_right = result_word(client.guard.keep_alive()) in {"renewed_by_another", "not_due"}
            finally:
                os._exit(0 if told_right else 1)
        assert "sent" == result_word(sending.result(PATIENCE))
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert {"acme-1": 1} == keep_alives()


FIRST_CALL = """
import os, sys, time, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
from finetune_guard import GuardConfig, OpenAI

guard = GuardConfig(store=sys.argv[1], hosts=["127.0.0.1"])
client = OpenAI(api_key="sk-test", base_url="http://127.0.0.1:9/v1", guard=guard)
model = "ft:gpt-4o-mini-2024-07-18:acme:bot:AbC123xY"
client.guard.record(model)
time.sleep(float(sys.argv[2]))
if (child := os.fork()) == 0:
    client.guard.record(model)
    client.guard.flush(60)
    os._exit(0)
client.guard.flush(60)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("seconds", ["0", "0.005", "0.02"])
def test_child_forked_after_the_first_call_can_write(location, seconds):
    program = [sys.executable, "-c", FIRST_CALL, location, seconds]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (0, "") == (done.returncode, done.stderr)
