"""Measures the CPU time of the import in new interpreters, in turns with plain openai."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from paired import AGAIN, BARE, Comparison, take_turns
from table import Row, print_rows

ROUNDS = 21
OURS = "ours"
GOAL = 1.05
WHY = (
    "Some twenty modules that stand around the SDK's methods; all else is imported when it is first needed, "
    "most of it with the first client."
)

_IMPORT = {BARE: "import openai", AGAIN: "import openai", OURS: "import finetune_guard"}
_CLIENT = {
    BARE: "from openai import OpenAI; OpenAI(api_key='sk-no')",
    AGAIN: "from openai import OpenAI; OpenAI(api_key='sk-no')",
    OURS: "from finetune_guard import OpenAI; OpenAI(api_key='sk-no')",
}
_TIMED = """
from resource import RUSAGE_SELF, getrusage
before = getrusage(RUSAGE_SELF)
{program}
after = getrusage(RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


def rows() -> Iterator[Row]:
    """Measure the import alone, and with a first client, which imports the rest."""
    ratio = (found := _compared(_IMPORT)).ratio(OURS)
    yield Row(
        "import finetune_guard against import openai, CPU",
        _text(found),
        found.ratio(AGAIN).text(3),
        f"ratio ≤ {GOAL}",
        ratio.median <= GOAL,
        f"{(ratio.median - GOAL) * 100:.1f} % too much. {WHY}",
    )
    found = _compared(_CLIENT)
    yield Row("the same with a first client made, CPU", _text(found), found.ratio(AGAIN).text(3))


def _text(found: Comparison) -> str:
    added, each = found.difference(OURS), found.each(BARE).median
    return f"{found.ratio(OURS).text(3)}; +{added.text(0, factor=1e3, unit=' ms')} on {each * 1e3:.0f} ms"


def _compared(programs: dict[str, str]) -> Comparison:
    # The first round is not counted; it fills the file cache.
    return take_turns(programs, lambda name: [_cpu_seconds(programs[name])], rounds=ROUNDS)[0]


def _cpu_seconds(program: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(program=program)]
    # The first round must be able to write bytecode.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


if __name__ == "__main__":
    print_rows(rows())
