"""``finetune-guard demo``: run the example program against the simulator."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.exits import ExitCode, SetupError, need_extra
from finetune_guard.cli.output import is_terminal
from finetune_guard.config import ENVIRONMENT_PREFIX

_FOREIGN = ("OPENAI_", ENVIRONMENT_PREFIX, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def demo(
    *, keep: Annotated[bool, typer.Option("--keep", help="Keep the history's folder to look at it.")] = False
) -> None:
    """Tell the whole story in a few seconds, without a key.

    The story is fine-tuning, day 60, keep-alive, January 6, Azure. It runs against the simulator on this
    machine, without a key and without network; every result that it prints is that of a real call. The
    program that it runs is examples/demo.py.
    """
    need_extra("starlette", "simulator")
    program = example()
    folder = Path(tempfile.mkdtemp(prefix="finetune-guard-demo-"))
    try:
        _run(program, folder)
    finally:
        if not keep:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
    typer.echo(f"\nThe history is kept in {folder}" if keep else "\nThe demo's folder has been removed.")


def _run(program: Path, folder: Path) -> None:
    """Run the example and print its output as it comes."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    if is_terminal(sys.stdout):
        own.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
    command = [sys.executable, "-u", "-X", "utf8", str(program), str(folder)]
    # In a session of its own, so that Ctrl-C is this process's matter.
    with subprocess.Popen(  # noqa: S603 -- our own example, by this Python
        command, env=own, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
    ) as running:
        assert running.stdout is not None
        try:
            for line in running.stdout:
                typer.echo(line, nl=False)
        except BaseException:
            running.kill()
            raise
    if running.returncode:
        raise typer.Exit(ExitCode.FAILURE)


def example() -> Path:
    """Return the path of the example: in the installed package, or else in the checkout."""
    here = Path(__file__)
    places = (here.with_name("examples") / "demo.py", here.parents[3] / "examples" / "demo.py")
    for place in places:
        if place.is_file():
            return place
    raise SetupError("The example program demo.py is missing: install finetune-guard again.")
