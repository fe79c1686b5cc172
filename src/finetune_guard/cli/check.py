"""``finetune-guard check``: one line for a script, and an exit code."""

from __future__ import annotations

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import OF_VERDICT
from finetune_guard.cli.options import Debug, Json, Refresh
from finetune_guard.gate import cause


def check(*, refresh: Refresh = False, as_json: Json = False, debug: Debug = False) -> None:  # noqa: ARG001 -- read by its callback
    """Say in one line whether fine-tuning jobs can be created.

    Exit codes: 0 eligible, 3 ineligible, 4 unknown, 2 no key or a wrong setting, 1 failure. Without
    --refresh nothing is asked of the API.
    """
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    inactive = connection.inactive_because
    if as_json:
        typer.echo(eligibility.model_dump_json())
    else:
        typer.echo(f"{eligibility.verdict.value}: {cause(eligibility)}.{f' {inactive}' if inactive else ''}")
    if connection.forgets is not None:
        typer.echo(f"Note: {connection.forgets}", err=True)
    raise typer.Exit(OF_VERDICT[eligibility.verdict])
