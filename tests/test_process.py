"""Fork and exit hooks: their order, and what a failing one does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from finetune_guard import process

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

ORDER = """
import os
from finetune_guard.process import Hooks, Rank, register

def hooks(name):
    def say(what):
        def hook():
            os.write(1, f"{name} {what}\\n".encode())
            raise RuntimeError(name)
        return hook
    return Hooks(say("before"), say("in parent"), say("in child"), say("at exit"))

register(Rank.STORES, hooks("stores"))
register(Rank.BACKGROUND, hooks("background"))
register(Rank.RECORDING, hooks("recording"))
if (child := os.fork()) == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


@needs_fork
@pytest.mark.slow
def test_ranks_run_in_order_and_a_failing_hook_keeps_no_other_from_running():
    """Before a fork and at exit what calls the API goes first; after a fork what stores do goes first."""
    done = subprocess.run([sys.executable, "-c", ORDER], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    down, up = ["background", "recording", "stores"], ["stores", "recording", "background"]
    assert [f"{name} before" for name in down] == [line for line in lines if "before" in line]
    assert [f"{name} in parent" for name in up] == [line for line in lines if "parent" in line]
    assert [f"{name} in child" for name in up] == [line for line in lines if "child" in line]
    assert [f"{name} at exit" for name in down] == [line for line in lines if "exit" in line]
    assert "background" in done.stderr


@needs_fork
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_no_fork_happens_while_another_thread_must_not_be_interrupted():
    """A child never inherits an import that another thread was in the middle of."""
    entered, events = threading.Event(), []

    def import_something():
        with process.no_fork:
            entered.set()
            fork_begun.wait(10)
            events.append("imported")

    fork_begun = threading.Event()
    thread = threading.Thread(target=import_something)
    thread.start()
    assert entered.wait(10)
    threading.Timer(0.1, fork_begun.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if events == ["imported"] else 1)
    thread.join(10)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
def test_a_thread_that_forks_may_hold_the_lock_itself():
    """A garbage collection, or a signal handler, may fork in the middle."""
    with process.no_fork:
        child = os.fork()
        if child == 0:
            os._exit(0)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
