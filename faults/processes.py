"""Processes that come from one another: forked with work pending, preloaded, and spawned."""

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

from afterwards import begun, counted
from counting import Tally, both_halves, run, run_async
from stage import GUARDED, Stage

from table import Row

_T = TypeVar("_T")
CHILDREN = 4
_NO_KEEP_ALIVE = {"Connection": "close"}
"""A connection that several processes inherit would mix up their answers, with the bare client as well."""


def forked(stage: Stage) -> Row:
    """Fork by multiprocessing while the parent has unwritten notes; use its clients on both sides."""
    return _forked(stage, _begin_process, "multiprocessing's fork with work pending")


def preloaded(stage: Stage) -> Row:
    """Fork as a server that preloads its application does; the workers end as programs do."""
    return _forked(stage, _begin_worker, "preload: clients made, then os.fork, workers end by sys.exit")


def spawned(stage: Stage) -> Row:
    """Have processes of their own begin a history at the same time."""
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
    return counted(stage.config(), tally, what, problem=_joined(processes))


def spawned_work(stage: Stage, first: int, calls: int, results: Any) -> None:
    """Make calls, and leave it at that."""
    config = stage.config()
    kept = stage.clients(config)
    tally = both_halves(stage, config, calls=calls // 2, first=first)
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
    with begun(stage, config) as (client, before):
        tally = run(clients, range(10))  # of these nine wait for the next minute
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
        row = counted(config, tally, what, client=client, before=before, problem=problem)
    clients[GUARDED].close()
    return row


def _share(clients: Mapping[str, Any], asynchronous: Mapping[str, Any], first: int, calls: int) -> Tally:
    """Make calls with clients that were made before the fork, and leave it at that: nothing is closed."""
    middle = first + calls // 2
    tally = run(clients, range(first, middle))
    tally.add(asyncio.run(run_async(asynchronous, range(middle, first + calls))))
    return tally


def _begin_process(work: Callable[[], Tally]) -> Callable[[], tuple[Tally, str]]:
    context = multiprocessing.get_context("fork")
    results: Any = context.SimpleQueue()
    process = context.Process(target=lambda: results.put(work()))
    process.start()

    def wait() -> tuple[Tally, str]:
        return results.get(), _joined([process])

    return wait


def _begin_worker(work: Callable[[], Tally]) -> Callable[[], tuple[Tally, str]]:
    done = begin(work, ending="exit")
    return lambda: (done(), "")


def _joined(processes: list[Any]) -> str:
    """Wait for processes; return what is wrong with how they ended."""
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes if process.exitcode != 0]
    return f"children ended with {codes}" if codes else ""


def in_child(work: Callable[[], _T]) -> _T:
    """Return what ``work`` returns in a forked child; nothing it did to its process outlives it."""
    return begin(work)()


def begin(work: Callable[[], _T], *, ending: str = "at once") -> Callable[[], _T]:
    """Begin ``work`` in a forked child, which ends at once or by ``"exit"``; return what waits for it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            if ending == "exit":
                atexit._run_exitfuncs()  # what sys.exit ends in; here it would unwind the parent's frames
            status = 0
        except BaseException:  # noqa: BLE001 -- a child must not go on as if it were its parent
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
