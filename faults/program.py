"""A program that makes inferences, reports each, and ends in a given way.

``python faults/program.py PORT FOLDER HOW CALLS``. Each line of its output is one of::

    returned TIME MODEL           a call returned
    failed WHY                    a call raised an error
    written TIME COUNT MODEL …    the store has written COUNT inferences
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from counting import ask, model, run_sync
from stage import GUARDED, Stage

import finetune_guard
from finetune_guard.domain.facts import Activity
from finetune_guard.stores.disk.store import DiskStore

ENDINGS = {"return": 0, "async": 0, "thread": 0, "exit": 3, "raise": 1}
"""The ways in which a program ends by itself, with its exit codes."""

TERMINATED = 143
"""The exit code of a program whose SIGTERM handler calls ``sys.exit``."""


class ReportingStore(DiskStore):
    """A store on disk that reports its writes."""

    def __init__(self, folder: Path, pipe: int) -> None:
        super().__init__(folder)
        self._pipe = pipe

    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        """Record, then report."""
        activities = tuple(activities)
        super().record(organization, activities)
        counted = sum(sum(activity.counts.values()) for activity in activities)
        models = (activity.inference.model for activity in activities)
        _report(self._pipe, "written", time.monotonic(), counted, *models)


def work(stage: Stage, pipe: int, numbers: Iterable[int], *, asynchronous: bool) -> None:
    """Make calls and report each; close nothing."""
    config = stage.config(ReportingStore(stage.history, pipe))

    async def all_of_them() -> None:
        kind = finetune_guard.AsyncOpenAI if asynchronous else finetune_guard.OpenAI
        client = stage.client(kind, GUARDED, guard=config)
        for number in numbers:
            try:
                await ask(client, number)
            except Exception as error:  # noqa: BLE001 -- it is reported
                _report(pipe, "failed", repr(error))
            else:
                _report(pipe, "returned", time.monotonic(), model(number))

    (asyncio.run if asynchronous else run_sync)(all_of_them())


def _report(pipe: int, *words: object) -> None:
    """Write a line immediately, since the process may be killed next."""
    os.write(pipe, (" ".join(map(str, words)) + "\n").encode())


def main(port: str, folder: str, how: str, calls: str) -> None:
    """Run the program."""
    stage = Stage(int(port), Path(folder), quick=False)
    if how == "handler":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    numbers = range(int(calls)) if how in ENDINGS else count()
    if how == "thread":
        arguments = {"asynchronous": False}
        threading.Thread(target=work, args=(stage, 1, numbers), kwargs=arguments).start()
        return
    work(stage, 1, numbers, asynchronous=how == "async")
    if how == "exit":
        sys.exit(ENDINGS[how])
    if how == "raise":
        raise RuntimeError("the program's own")


if __name__ == "__main__":
    main(*sys.argv[1:])
