"""The rows of the table of faults, as JSON and Markdown, and the page docs/faults.md."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

HEADINGS = (
    "Fault",
    "Inferences",
    "Lost",
    "Changed",
    "p99: bare → guarded (noise)",
    "All calls: bare → guarded (noise)",
    "What the guard logged meanwhile",
    "The history afterwards",
    "Kept",
)


@dataclass(frozen=True)
class Row:
    """The result of one fault.

    Attributes:
        fault: The fault, and how it was caused.
        inferences: The number of calls that guarded clients made.
        lost: How many more of them failed than of a bare client's.
        changed: How many returned something else than the server sent.
        p99: The 99th percentile of a call's time: bare client, guarded client, noise.
        total: The same for the sum of all calls.
        slower: Whether one of them differs by more than the noise; None without times.
        history: The history after the fault.
        caught_up: Whether the history is correct.
        logged: The guard's log messages.
        problem: The first failure, if any.
    """

    fault: str
    inferences: int
    lost: int
    changed: int
    history: str
    caught_up: bool
    p99: str = ""
    total: str = ""
    slower: bool | None = None
    logged: str = ""
    problem: str = ""

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.changed or self.slower) and self.caught_up

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row."""
        wrong = {
            "lost": self.lost,
            "changed": self.changed,
            "slower": self.slower,
            "history": not self.caught_up,
        }
        why = [word for word, is_so in wrong.items() if is_so]
        kept = "yes" if self.kept else f"**no: {', '.join(why)}** {self.problem}".strip()
        if self.kept and not self.inferences:
            kept = "not tried"
        numbers = (f"{self.inferences:,}", str(self.lost), str(self.changed))
        return self.fault, *numbers, self.p99, self.total, self.logged, self.history, kept

    def text(self) -> str:
        """Return the row as a line of JSON."""
        return json.dumps(asdict(self))


def parse_row(line: str) -> Row:
    """Parse a line of JSON."""
    return Row(**json.loads(line))


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


_PACKAGES = ("finetune-guard", "openai", "httpx", "httpx2", "anyio", "diskcache", "redis")

_PAGE = """# When our own parts break

A guarded client promises that, whatever becomes of its own history, a program's inferences go through as
with the bare client. This page is what came of trying: `uv run faults/run.py --write` writes it.

{result}

For each fault {calls} inferences on fine-tuned models were made through guarded clients, half of them with
the sync client and half with the async one, against a local server that gives every call the same answer; of
ten calls one asks for the raw response and one for a stream. After every fiftieth call the model is another
one, since the first inference of each is written at once, and later ones once a minute. Two bare clients made
the same calls, by turns with the guarded one. Where programs were ended or killed no times were taken, and
they made as many calls as they got to.

* **Lost**: the call raised an exception, or gave nothing, where the bare client's did not.
* **Changed**: status, body or type of what it gave differ from what the server had sent.
* **p99** and **all calls**: how long one call took at most in 99 of 100 cases, and all of them together: the
  bare clients' mean, the guarded client's, and the noise, which is what two bare clients differ by at most
  when their calls are drawn or swapped at random 1,000 times. Calls that are made at once wait for each
  other, so that they are made in ten rounds, and whole rounds are swapped. What exceeds the noise three times
  in a row counts as slower, unless it is less than 0.1 ms a call, which a guard may cost where nothing is
  wrong.
  On a busy machine this is a coarse sieve: of five single tries without any fault it caught two, so
  that a row that is slower is one to look into, and one that isn't can hide as much as its noise.
* **What the guard logged meanwhile** shows that it felt the fault.
* **The history afterwards**: when the fault was over, how many inferences the history had counted, of those
  that were answered, and how long `client.guard.flush()` then took.
* **Kept**: nothing lost, nothing changed, not slower, and the history is what it should be. A history that
  was destroyed begins anew. A process that is killed loses what it had not written, which is at most the last
  minute's: what the store had acknowledged is there, nothing is counted twice, and the file is sound.

{table}

{date}, {seconds} on {machine}; {versions}.
"""


def page(rows: Sequence[Row], *, quick: bool, seconds: float) -> str:
    """Return the whole page."""
    broken = sum(not row.kept for row in rows)
    promise = "every promise was kept" if not broken else f"in {broken} of them a promise was broken"
    return _PAGE.format(
        result=f"**{len(rows)} faults: {promise}.**",
        calls="200" if quick else "1,000",
        table=markdown(rows),
        date=datetime.now(timezone.utc).date().isoformat(),
        seconds=f"{seconds / 60:.0f} minutes",
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}",
        versions=_versions(),
    )


def _versions() -> str:
    found = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
