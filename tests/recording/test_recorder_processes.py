"""Recording in programs that fork, start processes and end."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from finetune_guard.domain.facts import Source
from finetune_guard.recording import writer
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from tests.recording.test_recorder import note
from tests.support.constants import NOW

pytestmark = pytest.mark.slow


FORKING = """
import os, sys, threading
from finetune_guard.recording import writer
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from tests.recording.test_recorder import note

writer._FORK_TIMEOUT = 300  # however slow the machine is
recorder = Recorder.for_store(DiskStore(sys.argv[1]))
for _ in range(3):
    note(recorder)
recorder.flush(300)
note(recorder)
if (child := os.fork()) == 0:
    unwritten = recorder.has_unwritten
    note(recorder)
    os._exit(0 if recorder.flush(300) and not unwritten else 1)
threads = [thread.name for thread in threading.enumerate()]
note(recorder)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or str(threads[1:] or ""))
"""


@pytest.mark.matrix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_finds_no_writer_thread_and_loses_nothing(tmp_path):
    """From 3.12 on a fork beside threads warns."""
    program = [sys.executable, "-W", "error", "-c", FORKING, str(tmp_path / "guard")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert "" == done.stderr.strip()
    assert {Source.OBSERVED: 6} == DiskStore(tmp_path / "guard").history("acme-28gund").daily[NOW.date()]


def note_in_child(location):
    writer._EXIT_TIMEOUT = 300  # as above
    recorder = Recorder.for_store(DiskStore(location))
    for _ in range(100):
        note(recorder)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_multiprocessing_child_writes_everything_before_it_ends(tmp_path, method):
    """A forked child runs no atexit hooks."""
    folder = tmp_path / "guard"
    child = multiprocessing.get_context(method).Process(target=note_in_child, args=(folder,))
    child.start()
    child.join(300)
    assert 0 == child.exitcode
    assert {Source.OBSERVED: 100} == DiskStore(folder).history("acme-28gund").daily[NOW.date()]


ENDING = """
import sys, time
from finetune_guard.recording import writer
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from tests.recording.test_recorder import note

writer._EXIT_TIMEOUT = 300  # as above
recorder = Recorder.for_store(DiskStore(sys.argv[1]))
for number in range(100):
    note(recorder, model=f"model{number % 5}")
    if number < 5:
        time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.002, 0.01])
def test_program_ending_during_a_write_loses_nothing(tmp_path, pause):
    folder = tmp_path / "guard"
    finished = subprocess.run([sys.executable, "-c", ENDING, str(folder), str(pause)], check=False)
    assert 0 == finished.returncode
    history = DiskStore(folder).history("acme-28gund")
    assert (5, {Source.OBSERVED: 100}) == (len(history.models), history.daily[NOW.date()])


WITH_A_BROKEN_STORE = """
from finetune_guard import Store
from finetune_guard.recording.recorder import Recorder
from tests.recording.test_recorder import note

def fail(*arguments, **options):
    raise RuntimeError("no")

methods = {name: fail for name in Store.__abstractmethods__}
note(Recorder.for_store(type("Broken", (Store,), {"location": "nowhere", **methods})()))
"""


def test_broken_store_logs_one_line_at_exit():
    finished = subprocess.run(
        [sys.executable, "-c", WITH_A_BROKEN_STORE], check=False, capture_output=True, text=True
    )
    assert 0 == finished.returncode
    assert ["finetune-guard can't write the history at nowhere;"] == [
        line.partition("; ")[0] + ";" for line in finished.stderr.splitlines()
    ]
