"""Faults: processes that are forked with unwritten work, preloaded, or spawned."""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from afterwards import row_after, started_client
from counting import Tally, run, run_async, run_both_kinds
from stage import GUARDED, Stage

from table import Row

_T = TypeVar("_T")
CHILDREN = 4
_NO_KEEP_ALIVE = {"Connection": "close"}
"""Processes that inherit an open connection would mix up their answers, also with the bare client."""


def forked(stage: Stage) -> Row:
    """Fork with multiprocessing while the parent has unwritten notes; use its clients in both processes."""
    return _forked(stage, _start_process, "multiprocessing's fork with work pending")


def preloaded(stage: Stage) -> Row:
    """Fork workers as a preloading server does; they end with ``sys.exit``."""
    return _forked(stage, _start_worker, "preload: clients made, then os.fork, workers end by sys.exit")


def spawned(stage: Stage) -> Row:
    """Spawn processes that create a history at the same time."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.SimpleQueue()
    each = stage.calls // CHILDREN
    processes = [
        context.Process(target=spawned_work, args=(stage, child * each, each, results))
        for child in range(CHILDREN)
    ]
    for process in processes:
        process.start()
    tally = Tally()
    for _ in processes:
        tally.add(results.get())
    what = f"{CHILDREN} processes of multiprocessing's spawn in one folder, which just return"
    return row_after(stage.config(), tally, what, problem=_join(processes))


def spawned_work(stage: Stage, first: int, calls: int, results: Any) -> None:
    """Make calls, and close nothing."""
    config = stage.config()
    kept = stage.clients(config)
    tally = run_both_kinds(stage, config, calls=calls // 2, first=first)
    tally.add(run(kept, range(first + calls // 2, first + calls)))
    results.put(tally)


def _forked(
    stage: Stage, start: Callable[[Callable[[], Tally]], Callable[[], tuple[Tally, str]]], what: str
) -> Row:
    config = stage.config()
    clients, asynchronous = (
        stage.clients(config, asynchronous=kind, default_headers=_NO_KEEP_ALIVE) for kind in (False, True)
    )
    each = stage.calls // (CHILDREN + 1)
    with started_client(stage, config) as (client, before):
        tally = run(clients, range(10))  # nine of them stay unwritten for a minute
        waits = [
            start(partial(_share, clients, asynchronous, child * each, each))
            for child in range(1, CHILDREN + 1)
        ]
        tally.add(_share(clients, asynchronous, 10, each - 10))
        problem = ""
        for wait in waits:
            found, went_wrong = wait()
            tally.add(found)
            problem = problem or went_wrong
        what = f"{what}: {CHILDREN} children and their parent"
        row = row_after(config, tally, what, client=client, before=before, problem=problem)
    clients[GUARDED].close()
    return row


def _share(clients: Mapping[str, Any], asynchronous: Mapping[str, Any], first: int, calls: int) -> Tally:
    """Make calls with clients from before the fork, and close nothing."""
    middle = first + calls // 2
    tally = run(clients, range(first, middle))
    tally.add(asyncio.run(run_async(asynchronous, range(middle, first + calls))))
    return tally


def _start_process(work: Callable[[], Tally]) -> Callable[[], tuple[Tally, str]]:
    context = multiprocessing.get_context("fork")
    results: Any = context.SimpleQueue()
    process = context.Process(target=lambda: results.put(work()))
    process.start()

    def wait() -> tuple[Tally, str]:
        return results.get(), _join([process])

    return wait


def _start_worker(work: Callable[[], Tally]) -> Callable[[], tuple[Tally, str]]:
    done = fork(work, ending="exit")
    return lambda: (done(), "")


def _join(processes: list[Any]) -> str:
    """Wait for processes; return a message if one failed."""
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes if process.exitcode != 0]
    return f"children ended with {codes}" if codes else ""


def in_child(work: Callable[[], _T]) -> _T:
    """Run ``work`` in a forked child and return its result."""
    return fork(work)()


def fork(work: Callable[[], _T], *, ending: str = "at once") -> Callable[[], _T]:
    """Run ``work`` in a forked child; return a function that waits for its result.

    With ``ending="exit"`` the child runs its exit handlers.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            if ending == "exit":
                atexit._run_exitfuncs()  # like sys.exit, which would unwind the parent's frames here
            status = 0
        except BaseException:  # noqa: BLE001 -- the child must not run the parent's code
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(writing)

    def wait() -> _T:
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if status or not said:
            raise RuntimeError(f"a child ended with {os.waitstatus_to_exitcode(status)}")
        result: _T = pickle.loads(said)
        return result

    return wait


FAULTS = {
    "fork": forked,
    "preload": preloaded,
    "spawn": spawned,
}
