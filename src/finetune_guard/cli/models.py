"""``finetune-guard models``: list every fine-tuned model and when it ends."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.options import Debug, Json
from finetune_guard.rules.model_messages import old_table


def models(
    *,
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
    debug: Debug = False,  # noqa: ARG001 -- read by its callback
) -> None:
    """List the fine-tuned models and when each of them ends.

    These are the models that the key can see or the history knows; the first to end stands first. GET
    /models and GET /fine_tuning/jobs are asked, with or without --refresh.

    Exit codes: 0 all was read; 6 the API did not answer all that was asked, so that models may be missing;
    2 no key or a wrong setting; 1 failure.
    """
    if as_json and as_csv:
        raise SetupError("--json and --csv exclude each other.")
    connection = connect()
    connection.must_be_active("No models are asked of")
    inventory = connection.guard.models(refresh=refresh)
    if as_json:
        typer.echo(inventory.model_dump_json())
    elif as_csv:
        from finetune_guard.cli.model_sheet import sheet  # noqa: PLC0415 -- of no other use

        typer.echo(sheet(inventory), nl=False)
    else:
        from finetune_guard.cli.model_list import draw  # noqa: PLC0415 -- no other output needs rich

        draw(inventory)
    old = old_table(connection.dates(), inventory.as_of.date())
    for note in filter(None, (old, connection.forgets if refresh else None)):
        typer.echo(f"Note: {note}", err=True)
    if not inventory.complete:
        why = f" ({inventory.failure})" if inventory.failure is not None else ""
        typer.echo(
            f"Incomplete: the API did not answer all that was asked{why}. Models may be missing; those that "
            "the history knows are there.",
            err=True,
        )
        raise typer.Exit(ExitCode.INCOMPLETE)
