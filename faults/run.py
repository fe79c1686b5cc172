"""Measures what happens to a program's inferences under each fault, and prints a table.

``uv run faults/run.py`` prints it, ``--write`` writes docs/faults.md, ``--only NAME`` runs one fault,
``--quick`` makes fewer calls and shorter faults. The exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from server import Server

from table import Row, markdown, page, parse_row

FAMILIES = ("disk", "servers", "clock_jumps", "threads", "tasks", "processes", "ends")
"""The modules of faults, in the order of the table; each has a dictionary FAULTS."""

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"
LONGEST_SECONDS = 1_200
TRIES = 3
"""How often a fault is tried that seems to make calls slower, since on a busy machine that may be noise."""


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--only", metavar="NAME", action="append", help="run this fault only")
    parser.add_argument("--quick", action="store_true", help="fewer calls, shorter faults")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--stage", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        return _run_stage(*options.stage, quick=options.quick)
    names = [name for family in FAMILIES for name in _names(family)]
    if options.list:
        print("\n".join(names))
        return 0
    unknown = set(options.only or ()) - set(names)
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it cleans up
    began, rows = time.monotonic(), []
    for name in options.only or names:
        for _ in range(TRIES):
            with Server() as server:  # a new one, which has counted nothing
                row = _run_fault(name, server.port, quick=options.quick)
            if row.kept or not row.slower:
                break
        rows.append(row)
        print(f"{name:24} {'kept' if row.kept else 'BROKEN'}", file=sys.stderr, flush=True)
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(rows, quick=options.quick, seconds=time.monotonic() - began), encoding="utf-8")
    print(markdown(rows))
    return 0 if all(row.kept for row in rows) else 1


def _names(family: str) -> list[str]:
    """Return the names of a family's faults, without importing it."""
    source = (Path(__file__).parent / f"{family}.py").read_text(encoding="utf-8")
    return [line.split('"')[1] for line in source.partition("\nFAULTS")[2].splitlines()[1:] if '"' in line]


def _run_fault(name: str, port: int, *, quick: bool) -> Row:
    """Run a fault in its own process and mount namespace, then clean up."""
    folder = Path(tempfile.mkdtemp(prefix="finetune-guard-faults-"))
    arguments = [__file__, "--stage", name, str(port), str(folder), *(["--quick"] if quick else [])]
    program = [sys.executable]
    if name == "trio" and importlib.util.find_spec("trio") is None and shutil.which("uv"):
        program = ["uv", "run", "--no-sync", "--quiet", "--with", "trio", "python"]
    apart = _unshare_command()
    process = subprocess.Popen(
        [*apart, *program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "FAULTS_MAY_MOUNT": "1" if apart else ""},
    )
    try:
        said, _ = process.communicate(timeout=LONGEST_SECONDS)
        lines = said.splitlines()
        if process.returncode == 0 and lines:
            return parse_row(lines[-1])
        return _failed(name, f"it ended with {process.returncode}")
    except subprocess.TimeoutExpired:
        return _failed(name, f"it took more than {LONGEST_SECONDS} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _failed(name: str, why: str) -> Row:
    return Row(name, 0, 0, 0, f"unknown: {why}", caught_up=False, problem="the fault itself failed")


def _unshare_command() -> list[str]:
    """Return the command that runs a program in its own mount namespace; empty if that isn't possible."""
    for start in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if shutil.which(start[0]) is None:
            break
        tried = [*start, "sh", "-c", "mount -t tmpfs none /mnt"]
        if not subprocess.run(tried, capture_output=True, check=False).returncode:
            return start
    return []


def _run_stage(name: str, port: str, folder: str, *, quick: bool) -> int:
    """Run a fault in this process, and print its row."""
    import importlib  # noqa: PLC0415 -- only here

    from stage import Stage  # noqa: PLC0415 -- imports the SDK and the guard

    sys.path.append(str(Path(__file__).parent.parent))  # for tests.support
    family = next(family for family in FAMILIES if name in _names(family))
    row = importlib.import_module(family).FAULTS[name](Stage(int(port), Path(folder), quick))
    print(row.text(), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
