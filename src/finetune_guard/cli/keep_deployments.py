"""What ``finetune-guard keep-alive`` does for deployments that end when nobody calls them."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from finetune_guard.cli.connection import Connection
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.output import say
from finetune_guard.cli.watch import Looked, keep_looking
from finetune_guard.client.background.check import DeploymentCheck, DeploymentsChecked
from finetune_guard.rules.keep_alive import NotSent

_NO_NAME = (
    "No deployment is kept alive that is not named, for each goes on being billed by the hour: name those "
    "that are wanted with --deployment NAME, or with KeepAlive(deployments=[...])."
)


def keep_deployments(
    connection: Connection,
    names: tuple[str, ...],
    *,
    dry_run: bool,
    force: bool,
    watch: bool,
    heartbeat: Path | None,
    as_json: bool,
) -> None:
    """Send the smallest call to each named deployment whose end nears, and say so.

    Raises:
        SetupError: No deployment is named.
        typer.Exit: Ever, with the exit code, but for ``watch``.
    """
    check = DeploymentCheck(connection.client, names or None)
    if not check.names:
        raise SetupError(_NO_NAME)
    if watch:
        keep_looking(
            lambda: _looked(connection, check, as_json=as_json),
            heartbeat=heartbeat,
            as_json=as_json,
            key="the resource's key",
        )
        return
    result = check.once(connection.client, force=force, only_plan=dry_run)
    if as_json:
        typer.echo(_as_json(result))
    elif dry_run:
        say("\n".join(_planned(check, result)))
    else:
        say("\n".join(check.lines(result)), err=not result.is_well)
    reasons = [each.reason for each in result.outcomes]
    code = ExitCode.NOT_JUDGED if NotSent.HISTORY_UNAVAILABLE in reasons else ExitCode.OK
    code = ExitCode.FAILURE if result.failures or NotSent.DEPLOYMENT_GONE in reasons else code
    raise typer.Exit(code)


def _looked(connection: Connection, check: DeploymentCheck, *, as_json: bool) -> Looked:
    result = check.once(connection.client)
    line = _as_json(result) if as_json else " ".join(check.lines(result))
    failure = next(iter(result.failures.values()), None)
    now = connection.guard.check().checked_at
    return Looked(now, line, result.next_in, is_well=result.is_well, failure=failure)


def _planned(check: DeploymentCheck, result: DeploymentsChecked) -> list[str]:
    due = [each.model for each in result.outcomes if each.reason is None]
    rest = result.without(due)
    said = [f"Due: {name}. A call would keep it alive, and it goes on being billed." for name in due]
    return [*said, *check.lines(rest), "Nothing was sent."]


def _as_json(result: DeploymentsChecked) -> str:
    return json.dumps(
        {
            "deployments": [each.model_dump(mode="json") for each in result.outcomes],
            "failures": {name: str(error) for name, error in result.failures.items()},
        }
    )
