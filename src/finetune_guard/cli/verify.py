"""``finetune-guard verify``: compare an export with the sums in its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import say
from finetune_guard.domain.text import lines


def verify(
    folder: Annotated[Path, typer.Argument(help="The folder that finetune-guard export has written.")],
    *,
    as_json: Json = False,
) -> None:
    """Compare every file of an export with its manifest.

    The files' SHA-256 are compared, and no key is needed. The manifest's own SHA-256 is printed: keep it
    elsewhere to be able to tell that nothing was changed.

    Exit codes: 0 every file is as it was exported; 1 one is not, or the folder is no export; 6 every file is,
    but the export itself is incomplete.
    """
    from finetune_guard.engine.export.record import verify as compared  # noqa: PLC0415 -- for this alone

    found = compared(folder)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        said = [f"DIFFERS: {path}: {why}" for path, why in found.problems.items()]
        said += [f"Not of the export: {path}" for path in found.unlisted]
        right = found.checked - len(found.problems)
        said.append(f"{right:,} of {found.checked:,} files are as they were exported.")
        said.append(f"The manifest's SHA-256 is {found.manifest_sha256}.")
        say(lines("\n".join(said)))
    if found.problems:
        say("Run finetune-guard export again: it fetches only what is missing or differs.", err=True)
        raise typer.Exit(ExitCode.FAILURE)
    if not found.complete:
        say("The export is incomplete: run finetune-guard export again.", err=True)
        raise typer.Exit(ExitCode.INCOMPLETE)
