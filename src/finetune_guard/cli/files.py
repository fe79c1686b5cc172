"""``finetune-guard files delete-orphans``: delete training files that no job uses."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import say
from finetune_guard.domain.text import lines
from finetune_guard.rules.export import Orphan, Orphans


def delete_orphans(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    as_json: Json = False,
) -> None:
    """Delete the training files that no job uses.

    A refused job leaves such a file, for example. None that is younger than a day is deleted, and none at
    all when the list of jobs can't be read whole. The key sees its own project only. What was deleted
    can't be brought back.

    Exit codes: 0 done, or nothing to do; 6 it is not known which files are orphans, or some could not be
    deleted; 2 no key or a wrong setting; 1 failure, or the question was not answered with yes.
    """
    connection = connect()
    connection.must_guard_jobs("No files are deleted at")
    found = connection.guard.orphans()
    doomed = [orphan.id for orphan in found.files if orphan.deletable]
    if not (as_json and yes) or found.failure is not None:
        show_orphans(found, as_json=False, err=as_json)
    if doomed and not yes:
        typer.confirm(f"Delete {len(doomed):,} files for good?", abort=True, err=as_json)
    done = connection.guard.delete_orphans(doomed)
    if as_json:
        typer.echo(done.model_dump_json())
    else:
        said = [f"Kept {file}: {why}" for file, why in done.kept.items()]
        say(lines("\n".join([*said, f"Deleted {len(done.deleted):,} files."])))
    if done.kept:
        raise typer.Exit(ExitCode.INCOMPLETE)


def show_orphans(found: Orphans, *, as_json: bool, err: bool = False) -> None:
    """Print the training files that no job uses; end the command when they are not known."""
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        for orphan in found.files:
            say(lines(_in_words(orphan)), err=err)
        if found.failure is None:
            say(f"{len(found.files):,} training files are used by no job.", err=err)
    if found.failure is not None:
        say(f"It is not known which files are orphans: {found.failure}. Try again later.", err=True)
        raise typer.Exit(ExitCode.INCOMPLETE)


def _in_words(orphan: Orphan) -> str:
    size = f"{orphan.size:,} bytes" if orphan.size is not None else "unknown size"
    day = f"{orphan.created_at:%Y-%m-%d}" if orphan.created_at is not None else "unknown day"
    kept = "" if orphan.deletable else "  (younger than a day, or of unknown age: it is not deleted)"
    return f"{orphan.id}  {day}  {size}  {orphan.filename}{kept}"
