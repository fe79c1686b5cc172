"""``finetune-guard models``: list every fine-tuned model and when it ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.model_sheet import counted, is_used, plain_rows, sheet, summary
from finetune_guard.cli.options import Json, duration
from finetune_guard.cli.output import say
from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.model_ids import base_of
from finetune_guard.rules.inventory import Inventory
from finetune_guard.rules.model_messages import old_table


def models(
    *,
    base: Annotated[str | None, typer.Option(help="Only fine-tunes of this base model.")] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Only models without an inference known within the window.")
    ] = False,
    ending: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only models that end within a time, such as 30d."),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh", help="Remember the shutdown dates that the API tells, for all commands and programs."
        ),
    ] = False,
    as_json: Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print one line for each model, for a sheet.")
    ] = False,
) -> None:
    """List the fine-tuned models and when each of them ends.

    These are the models that the key can see or the history knows; the first to end stands first. GET
    /models and GET /fine_tuning/jobs are asked, with or without --refresh. In a pipe there is one row for
    each model, and the summary stands on stderr.

    Exit codes: 0 all was read; 5 with --ending: a model ends within that time; 6 the API did not answer all
    that was asked, so that models may be missing; 2 no key or a wrong setting; 1 failure.
    """
    if as_json and as_csv:
        raise SetupError("--json and --csv exclude each other.")
    within = duration("--ending", ending)
    connection = connect()
    connection.must_guard_jobs("No models are asked of")
    everything = connection.guard.models(refresh=refresh)
    found = _selected(connection, everything, base, within, unused=unused)
    if as_json:
        typer.echo(found.model_dump_json())
    elif as_csv:
        typer.echo(sheet(found), nl=False)
    else:
        _show(connection, found, everything)
    old = old_table(connection.dates(), found.as_of.date())
    for note in filter(None, (old, connection.forgets if refresh else None)):
        say(f"Note: {note}", err=True)
    if not found.complete:
        why = f" ({found.failure})" if found.failure is not None else ""
        say(
            f"Incomplete: the API did not answer all that was asked{why}. Models may be missing; those that "
            "the history knows are there.",
            err=True,
        )
    if within is not None and found.models:
        raise typer.Exit(ExitCode.MODEL_ENDS)
    if not found.complete:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _selected(
    connection: Connection, inventory: Inventory, base: str | None, within: timedelta | None, *, unused: bool
) -> Inventory:
    """Return the inventory with only the models that were asked for."""
    found, today = inventory.models, inventory.as_of.date()
    if base is not None:
        bases = {base_of(base), *(version.id for version in published_catalog().versions_of(base))}
        found = tuple(record for record in found if record.base in bases)
    if unused:
        since = inventory.as_of - (connection.config.policy.window or timedelta(0))
        found = tuple(record for record in found if not is_used(record, since))
    if within is not None:
        ends = [(record, record.shutdown) for record in found]
        found = tuple(
            record
            for record, end in ends
            if end is not None and not end.is_over(today) and timedelta(days=end.days_left(today)) <= within
        )
    return inventory.model_copy(update={"models": found})


def _show(connection: Connection, found: Inventory, everything: Inventory) -> None:
    said = summary(found, connection.config.policy.window)
    if not everything.models:
        said = ["No fine-tuned model is visible to this key or known to the history."]
    elif not found.models:
        said = [f"None of {counted(len(everything.models))} matches."]
    from finetune_guard.cli import model_list, render  # noqa: PLC0415 -- no other output needs rich

    if found.models and render.Screen().is_terminal:
        model_list.draw(found, said)
        return
    if found.models:
        typer.echo(plain_rows(found), nl=False)
    say("\n".join(said), err=True)
