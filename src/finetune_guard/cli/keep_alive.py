"""``finetune-guard keep-alive``: send the smallest inference to a model or a deployment when one is due."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.options import Deployments, Json
from finetune_guard.cli.output import note, say
from finetune_guard.cli.verdict import REMOVABLE, in_words, not_due, why
from finetune_guard.cli.watch import Looked, keep_looking, look
from finetune_guard.client.background.check import DeploymentCheck, DeploymentsChecked, WindowCheck
from finetune_guard.client.classes import OpenAI
from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, NotSent
from finetune_guard.rules.messages import format_time

_NOT_SENT = {
    NotSent.NOT_DUE: "it is not due",
    NotSent.RENEWED_BY_ANOTHER: "another thread or process has just sent one",
    NotSent.ANOTHER_IS_SENDING: "another thread or process is sending one; whether it succeeds is not known",
    NotSent.CREATION_CLOSED: "nobody can create fine-tuning jobs any more, so that no inference can help",
    NotSent.REFUSED: "the API has refused a job since the latest inference. Whether OpenAI opens a lapsed "
    "window again is not published. To try it: finetune-guard keep-alive --force",
    NotSent.HISTORY_UNAVAILABLE: "the history can't be read, so that one may have been sent already. To look "
    "at the store: finetune-guard config. To send one all the same: finetune-guard keep-alive --force",
    NotSent.NOT_GUARDED: "the policy is not known to hold behind this host",
}
_FAILED = {NotSent.REFUSED: ExitCode.INELIGIBLE, NotSent.HISTORY_UNAVAILABLE: ExitCode.NOT_JUDGED}
"""Reasons that a scheduled run must not pass over in silence."""

_NO_NAME = (
    "No deployment is kept alive that is not named, for each goes on being billed by the hour: name those "
    "that are wanted with --deployment NAME, or with KeepAlive(deployments=[...])."
)


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
        bool, typer.Option("--watch", help="Stay, and send one whenever it is due, until SIGTERM or Ctrl-C.")
    ] = False,
    heartbeat: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file to touch hourly while a --watch is well.")
    ] = None,
    deployment: Deployments = None,
    as_json: Json = False,
) -> None:
    """Send the smallest inference, if one is due.

    One is due when the window closes soon, has closed, or is not known to be open.

    With --deployment, or where AZURE_OPENAI_ENDPOINT and no OPENAI_API_KEY is set, deployments are kept alive
    that are named there or in KeepAlive(deployments=[...]): each is called in the last days of its window.

    Exit codes: 0 sent, or not needed; 1 no model answered, or a deployment is gone; 2 no key, a wrong
    setting, or a host that the policy does not speak of; 3 not sent, since the API has refused a job; 7 not
    sent, since the history can't be read. For 1, 3 and 7 the reason is on stderr. --force sends one in both
    cases.

    With --watch: 0 stopped, or nobody can create jobs any more; 1 it failed in a way that waiting does not
    mend; 2 as above, or the API does not accept the key. When no model answers, or the history can't be
    read, it tries again; the heartbeat rests until that succeeds.
    """
    if watch and (dry_run or force):
        raise SetupError("--watch sends what is due, when it is due: --force and --dry-run are for one time.")
    if heartbeat is not None and not watch:
        raise SetupError("--heartbeat tells that --watch is alive, and needs it.")
    connection = connect(prefers_azure=bool(deployment))
    has_idle_rule = connection.guard.active and not connection.guard.guards_jobs
    if deployment and not has_idle_rule:
        raise SetupError(
            f"No rule about deployments that nobody calls is known for {connection.host}. Set "
            "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY; finetune-guard policies lists the rules."
        )
    keep_watching = partial(keep_looking, heartbeat=heartbeat, as_json=as_json)
    if has_idle_rule:
        deployments = DeploymentCheck(connection.client, tuple(deployment or ()) or None)
        if not deployments.names:
            raise SetupError(_NO_NAME)
        if watch:
            keep_watching(lambda: _looked(connection, deployments, as_json=as_json), key="the resource's key")
        else:
            _keep_deployments(connection.client, deployments, dry_run=dry_run, force=force, as_json=as_json)
        return
    connection.must_guard_jobs("No keep-alive is sent to")
    if watch:
        note(connection.forgets)
        check = WindowCheck(connection.client, model)
        keep_watching(lambda: look(connection.client, check, as_json=as_json))
    elif dry_run:
        plan = connection.guard.plan_keep_alive(force=force, model=model)
        told = plan.model_dump_json() if as_json else _planned(connection, plan, force=force)
        _end_with(told, plan.reason, as_json=as_json)
    else:
        outcome = connection.guard.keep_alive(force=force, model=model)
        told = outcome.model_dump_json() if as_json else _told(connection, outcome)
        _end_with(told, outcome.reason, as_json=as_json)


def _end_with(told: str, reason: NotSent | None, *, as_json: bool) -> None:
    """Print the outcome, on stderr if it is a failure, and exit with its code."""
    code = _FAILED.get(reason, ExitCode.OK) if reason is not None else ExitCode.OK
    if as_json:
        typer.echo(told)
        told = f"Not sent: {_NOT_SENT[reason]}." if code is not ExitCode.OK and reason is not None else ""
    if told:
        say(told, err=code is not ExitCode.OK)
    if reason is NotSent.CREATION_CLOSED:  # on stderr, which cron sends by mail
        say(REMOVABLE, err=True)
    raise typer.Exit(code)


def _told(connection: Connection, outcome: KeepAliveOutcome) -> str:
    said = f"Sent: {outcome.model} answered at {format_time(outcome.at)}."
    if outcome.reason is not None:
        said = f"Not sent: {_NOT_SENT[outcome.reason]}."
    return f"{said}\nNow {in_words(connection.guard.check())}"


def _planned(connection: Connection, plan: KeepAlivePlan, *, force: bool) -> str:
    eligibility, reason = plan.eligibility, why(plan.eligibility)
    if plan.reason in _FAILED:
        return f"Nothing would be sent: {_NOT_SENT[plan.reason]}."
    if plan.reason is NotSent.NOT_DUE:
        reason = not_due(eligibility, connection.config.keep_alive or KeepAlive())
    if plan.reason is not None:
        return f"Not due: {reason}. Nothing was sent."
    first = f"first to {plan.model}" if plan.model else "to a fine-tuned model that the API lists"
    if eligibility.remaining is not None:
        forced = "it was asked for with --force, and " if force else ""
        reason = f"{forced}the window closes on {format_time(eligibility.window_closes_at)}"
    return f"Due: {reason}. It would go {first}. Nothing was sent."


def _keep_deployments(
    client: OpenAI, check: DeploymentCheck, *, dry_run: bool, force: bool, as_json: bool
) -> None:
    """Send the smallest call to each named deployment that is near its end; exit with the outcome's code."""
    result = check.once(client, force=force, only_plan=dry_run)
    if as_json:
        typer.echo(_as_json(result))
    elif dry_run:
        due = [each.model for each in result.outcomes if each.reason is None]
        said = [f"Due: {name}. A call would keep it alive, and it goes on being billed." for name in due]
        say("\n".join([*said, *check.lines(result.without(due)), "Nothing was sent."]))
    else:
        say("\n".join(check.lines(result)), err=not result.is_well)
    reasons = [each.reason for each in result.outcomes]
    if result.failures or NotSent.DEPLOYMENT_GONE in reasons:
        raise typer.Exit(ExitCode.FAILURE)
    raise typer.Exit(ExitCode.NOT_JUDGED if NotSent.HISTORY_UNAVAILABLE in reasons else ExitCode.OK)


def _looked(connection: Connection, check: DeploymentCheck, *, as_json: bool) -> Looked:
    result = check.once(connection.client)
    line = _as_json(result) if as_json else " ".join(check.lines(result))
    failure = next(iter(result.failures.values()), None)
    now = connection.guard.check().checked_at
    return Looked(now, line, result.next_in, is_well=result.is_well, failure=failure)


def _as_json(result: DeploymentsChecked) -> str:
    return json.dumps(
        {
            "deployments": [each.model_dump(mode="json") for each in result.outcomes],
            "failures": {name: str(error) for name, error in result.failures.items()},
        }
    )
