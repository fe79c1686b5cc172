"""Runs the benchmarks, each in its own process, and prints one table; ``--write`` saves it in the docs.

uv run benchmarks/run.py                   all of them
uv run benchmarks/run.py hooks decision    these only
uv run benchmarks/run.py --write           and put the table into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from table import HEADINGS, Row, markdown, parse_row

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "docs" / "benchmarks.md"
BENCHMARKS = (
    "hooks",
    "calls",
    "imports",
    "decision",
    "stall",
    "writers",
    "memory",
    "usage",
    "peers",
)

HOW_TO_READ = """\
Written by `uv run benchmarks/run.py --write`; what stands here was measured, not chosen.

A figure is a difference from the bare client, or a ratio to it, in the same process and taken in turns with
it: the median, and in brackets the interval that holds the true median with 95 % certainty. "Bare against
bare" is the same measurement of two clients that are both bare: what lies within it is noise. "At best" are
the quickest rounds, as on a machine that nobody else uses. Figures of two runs, or of two machines, can't be
compared with each other. `benchmarks/paired.py` says how it is done. Imports, stalls and what else looks at
calls are measured in processes of their own, which take turns.
"""


def main() -> None:
    """Run the requested benchmarks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark called {', '.join(sorted(unknown))}")
    if options.write and options.names:
        parser.error("--write takes all benchmarks, so that the document is of one run")
    began = time.monotonic()
    rows = [row for name in options.names or BENCHMARKS for row in measured(name)]
    machine = f"{conditions()}; {(time.monotonic() - began) / 60:.0f} minutes."
    draw(rows, machine)
    if options.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(f"# Benchmarks\n\n{HOW_TO_READ}\n{machine}\n\n{markdown(rows)}\n", "utf-8")


def measured(name: str) -> Iterator[Row]:
    """Run one benchmark and yield its rows; if it fails, a row that says so."""
    command = [sys.executable, str(HERE / f"{name}.py")]
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "FINETUNE_GUARD_"))
    }
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean) as running:
        assert running.stdout is not None
        for line in running.stdout:
            row = parse_row(line)
            print(f"{name}: {row.what}: {row.figure}", file=sys.stderr, flush=True)
            yield row
    if running.returncode:
        yield Row(
            name, f"ended with {running.returncode}", goal="an end", met=False, missed="See its traceback."
        )


def conditions() -> str:
    """Return the date, the package versions and the machine."""
    names = ("finetune-guard", "openai", "pydantic", "diskcache")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d}: {packages}, "
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def draw(rows: Sequence[Row], machine: str) -> None:
    """Print the table."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*(cell.replace("**", "") for cell in row.cells()))
    console.print(table)
    console.print(machine)


if __name__ == "__main__":
    main()
