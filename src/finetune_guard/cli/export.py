"""``finetune-guard export``: save fine-tuning jobs, their files and models' records in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.files import show_orphans
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import progress_bar, say
from finetune_guard.domain.text import lines
from finetune_guard.domain.validation import shown
from finetune_guard.rules.export import Export, ExportPlan, ExportProgress


class Format(str, Enum):
    """How files are written."""

    JSONL = "jsonl"


def export(
    folder: Annotated[
        Path | None, typer.Argument(help="The folder to write to; it is made if it is missing.")
    ] = None,
    *,
    jobs: Annotated[
        list[str] | None, typer.Option("--jobs", help="Only these jobs: ids, separated by commas.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Only jobs that made this fine-tuned model, or began with this base model."),
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
    """Save the jobs, their files and what is known of their models.

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
    selected = {"jobs": named, "model": model, "since": _day(since), "files": files}
    if folder is None and not (dry_run or orphans):
        raise SetupError("Name the folder to write to, as in: finetune-guard export my-models")
    connection = connect()
    connection.must_guard_jobs("Nothing is exported from")
    if orphans:
        show_orphans(connection.guard.orphans(), as_json=as_json)
    elif dry_run:
        _show_plan(connection.guard.plan_export(**selected), as_json=as_json)  # type: ignore[arg-type]
    else:
        assert folder is not None
        _export(connection, folder, selected, as_json=as_json)


def _export(connection: Connection, folder: Path, selected: Mapping[str, object], *, as_json: bool) -> None:
    with progress_bar("Exporting", shown=not as_json) as bar:

        def move(come: ExportProgress) -> None:
            told = f"{come.done} of {come.total}, {megabytes(come.bytes_done)} of {megabytes(come.bytes)}"
            # Jobs have no size; each counts as much as a megabyte, so that the bar moves for them, too.
            bar(come.bytes_done + come.done * _MEGABYTE, come.bytes + come.total * _MEGABYTE, told)

        done = connection.guard.export(folder, **selected, progress=move)  # type: ignore[arg-type]
    typer.echo(done.model_dump_json() if as_json else lines(_in_words(done)))
    if not done.complete:
        say("Incomplete: run the same command again; it fetches only what is missing.", err=True)
        raise typer.Exit(ExitCode.INCOMPLETE)


def _in_words(done: Export) -> str:
    said = [
        f"Exported {done.jobs:,} jobs and {done.files:,} files to {done.folder} ({megabytes(done.bytes)}).",
        f"{done.fetched:,} files were written now; the others were there already.",
    ]
    said += [f"Could not be had: {what}: {missing.why}" for what, missing in sorted(done.missing.items())]
    return "\n".join([*said, f"Check it at any time: finetune-guard verify {done.folder}"])


def _show_plan(plan: ExportPlan, *, as_json: bool) -> None:
    if as_json:
        typer.echo(plan.model_dump_json())
        return
    for job in plan.jobs:
        made = f" -> {job.fine_tuned_model}" if job.fine_tuned_model else ""
        say(lines(f"{job.id}  {job.status}  {job.model}{made}"))
    for file in plan.files:
        size = "unknown size, perhaps deleted" if file.size is None else megabytes(file.size)
        say(lines(f"{file.id}  {file.role} file  {size}"))
    say(f"{len(plan.jobs):,} jobs and {len(plan.files):,} files, {megabytes(plan.bytes)}. Nothing saved.")


_MEGABYTE = 1_000_000


def megabytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / _MEGABYTE:,.1f} MB"


def _day(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        found = datetime.fromisoformat(since)
    except ValueError:
        raise SetupError(f"--since is {shown(since)}: a day such as 2026-01-31 is required.") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
