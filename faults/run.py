"""What happens to a program's inferences when our own parts are broken: a table, fault by fault.

``uv run faults/run.py`` prints it, ``--write`` writes docs/faults.md, ``--only NAME`` takes one fault,
``--quick`` fewer calls and shorter faults. It ends with 1 if a promise was broken.
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

from table import Row, heard, markdown, page

FAMILIES = ("disk", "servers", "clock_jumps", "threads", "tasks", "processes", "ends")
"""The modules of faults, in the order of the table; each has a FAULTS that names its own."""

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"
LONGEST_SECONDS = 1_200
TRIES = 3
"""How often a fault takes place that seems to make calls slower: on a busy machine that may be chance."""


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--only", metavar="NAME", action="append", help="take this fault only")
    parser.add_argument("--quick", action="store_true", help="fewer calls, shorter faults")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--stage", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        return _perform(*given.stage, quick=given.quick)
    names = [name for family in FAMILIES for name in _names(family)]
    if given.list:
        print("\n".join(names))
        return 0
    unknown = set(given.only or ()) - set(names)
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it cleans up then, too
    began, rows = time.monotonic(), []
    for name in given.only or names:
        for _ in range(TRIES):
            with Server() as server:  # which counts from none
                row = _staged(name, server.port, quick=given.quick)
            if row.kept or not row.slower:
                break
        rows.append(row)
        print(f"{name:24} {'kept' if row.kept else 'BROKEN'}", file=sys.stderr, flush=True)
    if given.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(rows, quick=given.quick, seconds=time.monotonic() - began), encoding="utf-8")
    print(markdown(rows))
    return 0 if all(row.kept for row in rows) else 1


def _names(family: str) -> list[str]:
    """Return the faults of a family, without importing what they need."""
    source = (Path(__file__).parent / f"{family}.py").read_text(encoding="utf-8")
    return [line.split('"')[1] for line in source.partition("\nFAULTS")[2].splitlines()[1:] if '"' in line]


def _staged(name: str, port: int, *, quick: bool) -> Row:
    """Let a fault take place in a process of its own, with mounts of its own; leave nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="finetune-guard-faults-"))
    arguments = [__file__, "--stage", name, str(port), str(folder), *(["--quick"] if quick else [])]
    program = [sys.executable]
    if name == "trio" and importlib.util.find_spec("trio") is None and shutil.which("uv"):
        program = ["uv", "run", "--no-sync", "--quiet", "--with", "trio", "python"]
    apart = _apart()
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
            return heard(lines[-1])
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


def _apart() -> list[str]:
    """Return what starts a program whose mounts are its own, and end with it; nothing where that can't be."""
    for start in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if shutil.which(start[0]) is None:
            break
        tried = [*start, "sh", "-c", "mount -t tmpfs none /mnt"]
        if not subprocess.run(tried, capture_output=True, check=False).returncode:
            return start
    return []


def _perform(name: str, port: str, folder: str, *, quick: bool) -> int:
    """Be the process that a fault takes place in; print its row."""
    import importlib  # noqa: PLC0415 -- only here

    from stage import Stage  # noqa: PLC0415 -- the SDK and all of ours, which the table doesn't need

    sys.path.append(str(Path(__file__).parent.parent))  # for what the tests have, too
    family = next(family for family in FAMILIES if name in _names(family))
    row = importlib.import_module(family).FAULTS[name](Stage(int(port), Path(folder), quick))
    print(row.told(), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
