"""``finetune-guard run``: run an unchanged Python program with every client of the SDK guarded.

The process becomes the program: Python is executed anew, with a ``sitecustomize`` of ours that calls
``install()``. So arguments, exit code, tracebacks, stdin and signals are the program's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from finetune_guard.cli.exits import SetupError

_SITE = Path(__file__).with_name("run_site")


def run(
    program: Annotated[
        list[str],
        typer.Argument(metavar="PROGRAM", help="[--] SCRIPT or -m MODULE, then the arguments of its own."),
    ],
) -> NoReturn:
    """Run a Python program with every OpenAI client guarded.

    The program is not changed. SCRIPT and -m MODULE mean what they mean for python; - reads the program
    from stdin. The guard is configured by FINETUNE_GUARD_*. Python programs that the program starts are
    guarded as well.
    """
    first = program[0]
    if first in {"", "--"} or (first.startswith("-") and first not in {"-", "-m"}) or program == ["-m"]:
        raise SetupError(
            f"{' '.join(program)!r} is no program to run: name a SCRIPT, or -m and a MODULE, as in\n"
            "  finetune-guard run -m my_package --its-option"
        )
    command = [sys.executable, *program]
    others = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(_SITE), others]) if others else str(_SITE),
    }
    if os.name == "nt":  # there exec would return to the shell at once
        raise SystemExit(subprocess.call(command, env=environment))  # noqa: S603 -- what the user asked for
    os.execve(sys.executable, command, environment)  # noqa: S606 -- as above
