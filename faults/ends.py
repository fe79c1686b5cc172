"""Faults: programs that end with unwritten work, by themselves, by SIGTERM or by SIGKILL."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from afterwards import stored
from disk import lock_database
from program import ENDINGS, TERMINATED, work
from server import answered
from stage import GUARDED, KEYS, Stage

from finetune_guard import StoreError
from finetune_guard.stores.disk.store import DiskStore
from table import Row

_PROGRAM = Path(__file__).with_name("program.py")
_EXIT_SECONDS = 5.0
_SLACK_SECONDS = 3.0
_LONGEST_LIFE = 0.6


@dataclass
class _Reports:
    """The reports of programs, compared with the server's count."""

    returned: int = 0
    written: int = 0
    failures: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    problem: str = ""
    _first: dict[str, float] = field(default_factory=dict)
    _saved: set[str] = field(default_factory=set)

    def read(self, said: bytes) -> None:
        """Add a program's output; its last line may be incomplete."""
        for line in said.decode().split("\n")[:-1]:
            kind, *words = line.split(" ")
            if kind == "returned":
                self.returned += 1
                self._first.setdefault(words[1], float(words[0]))
            elif kind == "written":
                self.written += int(words[1])
                for model in {*words[2:]} - self._saved:
                    self._saved.add(model)
                    self.delays.append(max(0.0, float(words[0]) - self._first.get(model, float(words[0]))))
            else:
                self.failures.append(line)
        self.problem = self.problem or "".join(self.failures[:1])

    def row(self, stage: Stage, what: str, *, exact: bool, also: str = "") -> Row:
        """Return the table row; with ``exact``, every call that returned must be in the history."""
        served = answered(stage.port, KEYS[GUARDED])
        problem = self.problem or _damage(stage)
        try:
            found = stored(DiskStore(stage.history)).inferences
        except StoreError as error:
            found, problem = -1, str(error)
        least = self.returned if exact else self.written
        what_is_known = f"acknowledged {self.written:,}" if not exact else f"came back {self.returned:,}"
        history = f"{found:,}: {what_is_known}, answered by the server {served:,}{also}"
        is_right = not problem and least <= found <= served
        return Row(what, served, len(self.failures), 0, history, is_right, problem=problem)


def exits(stage: Stage) -> Row:
    """Run programs that end in each of ``ENDINGS``."""
    reports = _Reports()
    for how, code in ENDINGS.items():
        program = _start(stage, how, stage.calls // len(ENDINGS))
        said, errors = program.communicate(timeout=120)
        reports.read(said)
        if how == "raise":
            errors = errors.partition(b"Traceback")[0]
        _check_exit(reports, program, code, errors)
    what = f"the interpreter exits with work pending, in {len(ENDINGS)} ways"
    return reports.row(stage, what, exact=True)


def exits_locked(stage: Stage) -> Row:
    """End a program while another process keeps the database locked."""
    reports = _Reports()
    first = _start(stage, "return", 20)
    reports.read(first.communicate(timeout=120)[0])
    with lock_database(stage.history):
        program = _start(stage, "return", stage.calls)
        assert program.stdout is not None
        said, last = b"", 0.0
        while line := program.stdout.readline():
            said, last = said + line, time.monotonic()
        _, errors = program.communicate(timeout=120)
        took = time.monotonic() - last
    reports.read(said)
    _check_exit(reports, program, 0, errors)
    if took > _EXIT_SECONDS + _SLACK_SECONDS:
        reports.problem = reports.problem or f"ending took {took:.1f} s"
    what = "the interpreter exits while the database is locked"
    return reports.row(stage, what, exact=False, also=f"; it ended in {took:.1f} s")


def _signalled(how: str, code: int, what: str, stage: Stage, *, exact: bool) -> Row:
    """Send SIGTERM to programs at random moments."""
    reports, times = _Reports(), 5 if stage.quick else 25
    for _ in range(times):
        program = _start(stage, how, 0)
        assert program.stdout is not None
        first = program.stdout.readline()
        time.sleep(random.uniform(0, _LONGEST_LIFE))
        program.send_signal(signal.SIGTERM)
        said, errors = program.communicate(timeout=60)
        reports.read(first + said)
        reports._first.clear()
        _check_exit(reports, program, code, errors)
    return reports.row(stage, f"{what}, {times} times at random moments", exact=exact)


def killed(stage: Stage) -> Row:
    """Kill programs at random moments, and check their history after each."""
    reports, times = _Reports(), 40 if stage.quick else 200
    for number in range(times):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(stage, writing, count(number * 100_000), asynchronous=number % 2 == 1)
            finally:
                os._exit(1)
        os.close(writing)
        time.sleep(random.uniform(0, _LONGEST_LIFE))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading, "rb") as pipe:
            reports.read(pipe.read())
        row = reports.row(stage, "", exact=False)
        if not row.caught_up:
            reports.problem = reports.problem or f"after {number + 1} kills: {row.history} {row.problem}"
            break
    delays = sorted(reports.delays) or [0.0]
    median, longest = statistics.median(delays) * 1e3, delays[-1] * 1e3
    soon = f"; a model's first inference was on disk {median:.0f} ms after its answer (median; the longest "
    soon += f"{longest:.0f} ms)"
    return reports.row(stage, f"SIGKILL, {times} times at random moments", exact=False, also=soon)


def _start(stage: Stage, how: str, calls: int) -> subprocess.Popen[bytes]:
    arguments = [str(_PROGRAM), str(stage.port), str(stage.folder), how, str(calls)]
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _check_exit(reports: _Reports, program: subprocess.Popen[bytes], code: int, errors: bytes) -> None:
    said = ""
    if program.returncode != code:
        said = f"a program ended with {program.returncode}, not {code}: {errors[-200:]!r}"
    elif b"Traceback" in errors or b"Error" in errors:
        said = f"a program said {errors[-200:]!r}"
    reports.problem = reports.problem or said


def _damage(stage: Stage) -> str:
    """Return what SQLite's integrity check reports, if anything."""
    if [*stage.history.glob("cache.db.corrupt-*")]:
        return "a database was set aside"
    database = stage.history / "cache.db"
    if not database.exists() or not database.stat().st_size:
        return ""
    with closing(sqlite3.connect(database)) as connection:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
    return "" if said == "ok" else f"integrity_check: {said}"


_NOT_HANDLED = "default", -signal.SIGTERM, "SIGTERM, not handled"
_HANDLED = "handler", TERMINATED, "SIGTERM, a handler calls sys.exit"
FAULTS = {
    "exit": exits,
    "exit-locked": exits_locked,
    "sigterm": partial(_signalled, *_NOT_HANDLED, exact=False),
    "sigterm-handled": partial(_signalled, *_HANDLED, exact=True),
    "sigkill": killed,
}
