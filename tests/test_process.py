"""The order of fork and exit hooks, and failing hooks."""

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
def test_hooks_run_by_rank_even_if_one_fails():
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
def test_fork_waits_for_other_threads_imports():
    entered, events = threading.Event(), []

    def import_something():
        with process.no_fork:
            entered.set()
            fork_begun.wait(300)
            events.append("imported")

    fork_begun = threading.Event()
    thread = threading.Thread(target=import_something)
    thread.start()
    assert entered.wait(300)
    threading.Timer(0.1, fork_begun.set).start()
    child = os.fork()
    if child == 0:
        os._exit(0 if events == ["imported"] else 1)
    thread.join()
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
def test_forking_thread_may_hold_the_lock():
    """A garbage collection or a signal handler may fork."""
    with process.no_fork:
        child = os.fork()
        if child == 0:
            os._exit(0)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
@pytest.mark.slow
def test_forked_child_draws_other_pauses_than_its_parent():
    program = "import os\nfrom finetune_guard.process import jitter\nchild = os.fork()\n"
    program += "os.write(1, f'{jitter.random()}\\n'.encode())\nchild and os.waitpid(child, 0)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 2 == len(set(done.stdout.split()))
