"""The rows that a benchmark tells, how they travel and are drawn, and the local server of ``faults/``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

SERVER = Path(__file__).resolve().parent.parent / "faults" / "server.py"
HEADINGS = ("What", "Measured", "Bare against bare", "Goal", "If missed: by how much, and why")


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: What was measured.
        figure: What came out.
        noise: The same of the bare client against itself, or of the bare client alone.
        goal: What it should be at most; empty for none.
        met: Whether it is; None where there is no goal.
        missed: By how much it is not, and why; shown only then.
    """

    what: str
    figure: str
    noise: str = ""
    goal: str = ""
    met: bool | None = None
    missed: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return what stands in the columns."""
        verdict = {True: f"{self.goal}: met", False: f"{self.goal}: **missed**", None: self.goal}[self.met]
        return self.what, self.figure, self.noise, verdict, self.missed if self.met is False else ""


def tell(rows: Iterable[Row]) -> None:
    """Print rows for the command that started this benchmark, each as soon as it is there."""
    for row in rows:
        print(json.dumps(asdict(row)), flush=True)


def heard(line: str) -> Row:
    """Return the row that a benchmark has told."""
    return Row(**json.loads(line))


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@contextmanager
def serving() -> Iterator[str]:
    """Run a server that gives every call the same answer in a process of its own; yield its base URL."""
    command = [sys.executable, str(SERVER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()
