"""``finetune-guard keep-alive``: the smallest inference, when it is due."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.options import Debug, Json
from finetune_guard.cli.watch import watch as keep_watching
from finetune_guard.rules.enforcement import cause, moment
from finetune_guard.rules.keep_alive import KeepAlive, KeepAlivePlan, NotSent

_NOT_SENT = {
    NotSent.NOT_DUE: "it is not due",
    NotSent.RENEWED_BY_ANOTHER: "another thread or process has just sent one",
    NotSent.ANOTHER_IS_SENDING: "another thread or process is sending one; whether it succeeds is not known",
    NotSent.CREATION_CLOSED: "creation is closed, so that no inference can help",
    NotSent.REFUSED: "the API has refused a job since; whether an inference helps is not published (--force)",
    NotSent.HISTORY_UNAVAILABLE: "the history can't be read, so that it may be the second one (--force)",
    NotSent.NOT_GUARDED: "the policy is not known to hold behind this host",
}


def keep_alive(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say whether one is due and where it would go first.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Send one even when it is not due.")] = False,
    model: Annotated[
        str | None, typer.Option(help="The one fine-tuned model to use; by default the one used last.")
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Stay, and send one whenever it is due; SIGTERM and Ctrl-C end it."),
    ] = False,
    heartbeat: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --watch: a file to touch after each look, at least once an hour, for a probe.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,  # noqa: ARG001 -- read by its callback
) -> None:
    """Send the smallest inference if the window closes soon, has closed, or is not known to be open.

    Exit codes: 0 sent or not needed, 1 no model answered, 2 no key, a wrong setting, or a host that the
    policy does not speak of.

    With --watch: 0 stopped, or nobody can create jobs any more, 1 it failed in a way that waiting does not
    mend, 2 as above, or a key that the API does not accept. When no model answers, it tries again.
    """
    if watch and (dry_run or force):
        raise SetupError("--watch sends what is due, when it is due: --force and --dry-run are for one time.")
    if heartbeat is not None and not watch:
        raise SetupError("--heartbeat tells that --watch is alive, and needs it.")
    connection = connect()
    if connection.inactive_because is not None:
        raise SetupError(f"No keep-alive is sent to {connection.host}. {connection.inactive_because}")
    if watch:
        if connection.forgets is not None:
            typer.echo(f"Note: {connection.forgets}", err=True)
        keep_watching(connection, model=model, heartbeat=heartbeat, as_json=as_json)
        return
    if dry_run:
        plan = connection.plan(force=force, model=model)
        typer.echo(plan.model_dump_json() if as_json else _planned(connection, plan, force=force))
        return
    outcome = connection.guard.keep_alive(force=force, model=model)
    if as_json:
        typer.echo(outcome.model_dump_json())
    elif outcome.sent:
        eligibility = connection.guard.check()
        typer.echo(f"Sent: {outcome.model} answered at {moment(outcome.at)}.")
        typer.echo(f"Now {eligibility.verdict.value}: {cause(eligibility)}.")
    elif outcome.reason is not None:
        eligibility = connection.guard.check()
        typer.echo(f"Not sent: {_NOT_SENT[outcome.reason]}.")
        typer.echo(f"Now {eligibility.verdict.value}: {cause(eligibility)}.")


def _planned(connection: Connection, plan: KeepAlivePlan, *, force: bool) -> str:
    renew_within = (connection.config.keep_alive or KeepAlive()).renew_within
    if plan.reason is not None:
        return f"Not due: {_why_not(plan, renew_within)}. Nothing was sent."
    first = (
        f"first to {plan.model}" if plan.model is not None else "to a model that the API would be asked for"
    )
    why = cause(plan.eligibility)
    if plan.eligibility.remaining is not None:
        closes = f"the window closes on {moment(plan.eligibility.window_closes_at)}"
        why = f"it was asked for with --force, and {closes}" if force else closes
    return f"Due: {why}. It would go {first}. Nothing was sent."


def _why_not(plan: KeepAlivePlan, renew_within: timedelta) -> str:
    closes = plan.eligibility.window_closes_at
    if plan.reason is NotSent.NOT_DUE and closes is not None:
        since = moment(closes - renew_within)
        return f"the window is open until {moment(closes)}, and one is due from {since} on"
    return cause(plan.eligibility)
