# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["atheris>=3", "finetune-guard[redis]", "hypothesis>=6.100", "pytest>=8.2"]
#
# [tool.uv.sources]
# finetune-guard = { path = "..", editable = true }
# ///
"""Let atheris look for input that breaks a promise of the parsers: one harness after the other.

``uv run fuzz/run.py`` takes each for a minute and prints how often it was run; ``NAME`` takes some of them,
``--seconds N`` another time, ``--list`` names them. It ends with 1 if a promise was broken: the input is
shown, kept in ``fuzz/corpus/NAME``, and belongs into ``tests/hostile`` as an example.

It needs Linux on x86-64 and CPython 3.11, 3.12 or 3.13, for which atheris has wheels; 3.14 has none yet.
uv installs the rest by itself. What is promised, and the values beyond plain text, stand in
``tests/hostile``; they run there without atheris, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
LONGEST_INPUT = 4_096
MOST_MEGABYTES = 2_048
SPARE_SECONDS = 120
_RUNS = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="a harness; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="how long each runs (60)")
    parser.add_argument("--list", action="store_true", help="name the harnesses")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        parser.error(
            f"this Python {version} has no atheris, which has wheels for 3.11, 3.12 and 3.13 on Linux: start "
            "it with uv run fuzz/run.py, or pip install atheris"
        )
    names = _names()
    if given.list:
        print("\n".join(names))
        return 0
    unknown = set(given.names) - set(names)
    if unknown:
        parser.error(f"no such harness: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    kept = [_fuzzed(name, given.seconds) for name in given.names or names]
    return 0 if all(kept) else 1


def _names() -> list[str]:
    listed = subprocess.run(
        [sys.executable, str(HERE / "harness.py")], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def _fuzzed(name: str, seconds: int) -> bool:
    """Run a harness in a process of its own; print what came of it and return whether all was kept."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, str(HERE / "harness.py"), name, str(folder)),
        *(f"-max_total_time={seconds}", f"-artifact_prefix={folder}/broken-", "-print_final_stats=1"),
        *(f"-max_len={LONGEST_INPUT}", f"-rss_limit_mb={MOST_MEGABYTES}", "-timeout=30"),
    ]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            timeout=seconds + SPARE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"{name:14} BROKEN: it did not end in time", flush=True)
        return False
    runs, covered = _RUNS.search(done.stdout), _COVERED.findall(done.stdout)
    kept = done.returncode == 0 and runs is not None
    figures = f"{int(runs[1]) if runs else 0:>11,} runs  {covered[-1] if covered else '?':>6} edges"
    print(f"{name:14} {'kept' if kept else 'BROKEN':6} {figures}", flush=True)
    if not kept:
        print(done.stdout[-8_000:], file=sys.stderr)
    return kept


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
