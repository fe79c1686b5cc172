"""``finetune-guard demo``: the main job on this machine, with no key and no network."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.options import Debug
from finetune_guard.cli.simulator import need_simulator


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the history's folder to look at it.")] = False,
    debug: Debug = False,  # noqa: ARG001 -- read by its callback
) -> None:
    """Tell the whole story in a few seconds: fine-tuning, day 60, keep-alive, January 6.

    It runs against the simulator on this machine, without a key and without network; every result that
    it prints is that of a real call.
    """
    need_simulator()
    from finetune_guard.cli.demo_stage import Stage  # noqa: PLC0415 -- needs an extra
    from finetune_guard.cli.demo_story import tell  # noqa: PLC0415 -- needs an extra
    from finetune_guard.cli.narrator import Narrator  # noqa: PLC0415 -- no other output needs rich

    folder = Path(tempfile.mkdtemp(prefix="finetune-guard-demo-"))
    narrator = Narrator()
    try:
        with Stage(folder) as stage:
            tell(stage, narrator)
    finally:
        if not keep:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)
    narrator.end(f"The history is kept in {folder}" if keep else "The demo's folder has been removed.")
