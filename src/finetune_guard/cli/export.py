"""``finetune-guard export``, ``verify`` and ``files delete-orphans``: jobs and files, saved or deleted."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.options import Json, Yes, day_or_time
from finetune_guard.cli.output import progress_bar, say
from finetune_guard.cli.timeline import counted
from finetune_guard.domain.text import lines
from finetune_guard.rules.export import Export, ExportPlan, ExportProgress, Orphan, Orphans

_MEGABYTE = 1_000_000


class Format(str, Enum):
    """How files are written."""

    JSONL = "jsonl"


def export(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder to write to; it is made if it is missing.")
    ] = None,
    *,
    jobs: Annotated[list[str] | None, typer.Option(help="Only these jobs: ids, separated by commas.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only jobs that made this model, or began with this base model.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs that were created since this day, such as 2026-01-31 (UTC).")
    ] = None,
    files: Annotated[
        bool, typer.Option("--files/--no-files", help="Save the contents of the jobs' files, or not.")
    ] = True,
    file_format: Annotated[
        Format, typer.Option("--format", help="Files are saved as the API keeps them: JSON lines.")
    ] = Format.JSONL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be saved, with sizes.")] = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="List the training files that no job uses, and save nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Save the jobs, their files and the facts about their models.

    This is what is needed to train the same models elsewhere, and to show what they were trained on. For
    each job that the key can see: the job with its hyperparameters, its events and checkpoints, its
    training, validation and result files, and what is known of its model. manifest.json holds the SHA-256
    of each file, when it was asked for, and what could not be had. Run the command again after an
    interruption: it fetches only what is missing or differs. The folder holds your training data in
    clear; it is readable for its owner alone.

    Exit codes: 0 all was saved that the API still has; 6 something could not be had: run it again; 2 no key
    or a wrong setting; 1 nothing more could be saved.
    """
    del file_format  # there is one
    named = [name.strip() for given in jobs or () for name in given.split(",") if name.strip()]
    selected = {"jobs": named, "model": model, "since": day_or_time("--since", since), "files": files}
    if folder is None and not (dry_run or orphans):
        raise SetupError("Name the folder to write to, as in: finetune-guard export my-models")
    connection = connect().must_guard_jobs("Nothing is exported from")
    if orphans:
        _show_orphans(connection.guard.orphans(), as_json=as_json)
    elif dry_run:
        plan = connection.guard.plan_export(**selected)  # type: ignore[arg-type]
        typer.echo(plan.model_dump_json()) if as_json else say(lines(_planned(plan)))
    elif folder is not None:
        _export(connection, folder, selected, as_json=as_json)


def _export(connection: Connection, folder: Path, selected: dict[str, Any], *, as_json: bool) -> None:
    with progress_bar("Exporting", shown=not as_json) as bar:

        def move(come: ExportProgress) -> None:
            told = f"{come.done} of {come.total}, {_size(come.bytes_done)} of {_size(come.bytes)}"
            # Jobs have no size; each counts as much as a megabyte, so that the bar moves for them, too.
            bar(come.bytes_done + come.done * _MEGABYTE, come.bytes + come.total * _MEGABYTE, told)

        done = connection.guard.export(folder, **selected, progress=move)
    typer.echo(done.model_dump_json() if as_json else lines(_exported(done)))
    if not done.complete:
        say("Incomplete: run the same command again; it fetches only what is missing.", err=True)
        raise typer.Exit(ExitCode.INCOMPLETE)


def _exported(done: Export) -> str:
    said = [
        f"Exported to {done.folder}: {_jobs_and_files(done.jobs, done.files, done.bytes)}.",
        f"This run wrote {counted(done.fetched, 'file')}, records included; the rest was there already.",
    ]
    said += [f"Could not be had: {what}: {missing.why}" for what, missing in sorted(done.missing.items())]
    return "\n".join([*said, f"Check it at any time: finetune-guard verify {done.folder}"])


def _planned(plan: ExportPlan) -> str:
    said = []
    for job in plan.jobs:
        made = f" -> {job.fine_tuned_model}" if job.fine_tuned_model else ""
        said.append(f"{job.id}  {job.status}  {job.model}{made}")
    for file in plan.files:
        size = "unknown size, perhaps deleted" if file.size is None else _size(file.size)
        said.append(f"{file.id}  {file.role} file  {size}")
    said.append(f"{_jobs_and_files(len(plan.jobs), len(plan.files), plan.bytes)}. Nothing was saved.")
    return "\n".join(said)


def _jobs_and_files(jobs: int, files: int, size: int) -> str:
    if not jobs:
        return "No job was found that matches; a key sees the jobs of its own project only"
    return f"{counted(jobs, 'job')} and {counted(files, 'file')} ({_size(size)})"


def _size(size: int) -> str:
    return f"{size / _MEGABYTE:,.1f} MB" if size >= _MEGABYTE else counted(size, "byte")


def verify(
    folder: Annotated[Path, typer.Argument(help="The folder that finetune-guard export has written.")],
    *,
    as_json: Json = False,
) -> None:
    """Compare every file of an export with its manifest.

    The files' SHA-256 are compared, and no key is needed. The manifest's own SHA-256 is printed: keep it
    elsewhere to be able to tell that nothing was changed.

    Exit codes: 0 every file is as it was exported; 1 one is not, or the folder is not an export; 6 every
    file is, but the export itself is incomplete.
    """
    from finetune_guard.engine.export.record import verify as compared  # noqa: PLC0415 -- for this alone

    found = compared(folder)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        said = [f"DIFFERS: {path}: {why}" for path, why in found.problems.items()]
        said += [f"Not of the export: {path}" for path in found.unlisted]
        right = found.checked - len(found.problems)
        said.append(f"{right:,} of {counted(found.checked, 'file')} are as they were exported.")
        said.append(f"The manifest's SHA-256 is {found.manifest_sha256}.")
        say(lines("\n".join(said)))
    if found.problems:
        say("Run finetune-guard export again: it fetches only what is missing or differs.", err=True)
        raise typer.Exit(ExitCode.FAILURE)
    if not found.complete:
        say("The export is incomplete: run finetune-guard export again.", err=True)
        raise typer.Exit(ExitCode.INCOMPLETE)


def delete_orphans(*, yes: Yes = False, as_json: Json = False) -> None:
    """Delete the training files that no job uses.

    A refused job leaves such a file, for example. None that is younger than a day is deleted, and none at
    all when the list of jobs can't be read whole. The key sees its own project only. What was deleted
    can't be brought back.

    Exit codes: 0 done, or nothing to do; 6 it is not known which files are orphans, or some could not be
    deleted; 2 no key or a wrong setting; 1 failure, or the question was not answered with yes.
    """
    guard = connect().must_guard_jobs("No files are deleted at").guard
    found = guard.orphans()
    doomed = [orphan.id for orphan in found.files if orphan.deletable]
    if not (as_json and yes) or found.failure is not None:
        _show_orphans(found, as_json=False, err=as_json)
    if doomed and not yes:
        typer.confirm(f"Delete {counted(len(doomed), 'file')} for good?", abort=True, err=as_json)
    done = guard.delete_orphans(doomed)
    if as_json:
        typer.echo(done.model_dump_json())
    else:
        said = [f"Kept {file}: {why}" for file, why in done.kept.items()]
        say(lines("\n".join([*said, f"Deleted {counted(len(done.deleted), 'file')}."])))
    if done.kept:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _show_orphans(found: Orphans, *, as_json: bool, err: bool = False) -> None:
    """Print the training files that no job uses; exit if that can't be determined."""
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        for orphan in found.files:
            say(lines(_in_words(orphan)), err=err)
        if found.failure is None:
            say(f"Training files that no job uses: {len(found.files):,}.", err=err)
    if found.failure is not None:
        say(f"It is not known which files are orphans: {found.failure}. Try again later.", err=True)
        raise typer.Exit(ExitCode.INCOMPLETE)


def _in_words(orphan: Orphan) -> str:
    size = _size(orphan.size) if orphan.size is not None else "unknown size"
    day = f"{orphan.created_at:%Y-%m-%d}" if orphan.created_at is not None else "unknown day"
    kept = "" if orphan.deletable else "  (younger than a day, or of unknown age: it is not deleted)"
    return f"{orphan.id}  {day}  {size}  {orphan.filename}{kept}"
