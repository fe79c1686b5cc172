"""The rows of a benchmark, as JSON and Markdown, and a local server to call."""

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
        what: The measurement's name.
        figure: The result.
        noise: The result for the bare client compared with itself, or alone.
        goal: The limit; empty for none.
        met: Whether the goal is met; None without a goal.
        missed: By how much the goal is missed, and why; shown only then.
    """

    what: str
    figure: str
    noise: str = ""
    goal: str = ""
    met: bool | None = None
    missed: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row."""
        verdict = {True: f"{self.goal}: met", False: f"{self.goal}: **missed**", None: self.goal}[self.met]
        return self.what, self.figure, self.noise, verdict, self.missed if self.met is False else ""


def print_rows(rows: Iterable[Row]) -> None:
    """Print each row as a line of JSON, for ``run.py``."""
    for row in rows:
        print(json.dumps(asdict(row)), flush=True)


def parse_row(line: str) -> Row:
    """Parse a line of JSON."""
    return Row(**json.loads(line))


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@contextmanager
def serving() -> Iterator[str]:
    """Run the server of ``faults/`` in another process; yield its base URL."""
    command = [sys.executable, str(SERVER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()
