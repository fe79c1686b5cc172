"""``finetune-guard alert``: tell a webhook or a command what changed and what ends soon, each thing once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated

import typer

from finetune_guard.cli.alert_targets import WEBHOOK_VARIABLE, Command, Webhook, payload
from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.failures import SetupError, tell
from finetune_guard.cli.options import Json, Refresh
from finetune_guard.cli.output import say
from finetune_guard.clock import countdown
from finetune_guard.domain.organizations import UNNAMED
from finetune_guard.domain.text import lines
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules import endings
from finetune_guard.rules.alerts import Alert, Due, deployments_due, due
from finetune_guard.stores.base import Store

_DEADLINE = timedelta(minutes=3)
"""How long one run tells; what is left then is told by the next."""

_MARGIN = timedelta(seconds=90)


def alert(
    *,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post each alert to this URL as JSON. It is a secret: set "
            f"{WEBHOOK_VARIABLE} instead to keep it out of the list of processes.",
        ),
    ] = None,
    slack: Annotated[
        bool, typer.Option("--slack", help="Post in the form that Slack's incoming webhooks take.")
    ] = False,
    command: Annotated[
        str | None,
        typer.Option(
            help="Run this for each alert instead, with the message on its standard input and the alert as "
            "JSON in ALERT_JSON."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be told.")] = False,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Tell a webhook or a command what changed and what ends soon.

    Each thing is told once, so that cron or CI can run it daily. Told are a verdict that changed, a
    keep-alive that no model answered, and, 30, 15, 7 days and 1 day before, the end of the time in which
    jobs can be created and the ends of models and deployments; an idle deployment's at most half of its
    window before. The store remembers what was told, for all machines that share it. What does not arrive
    is told by the next run; if a run is killed in between, an alert comes
    twice, with the same id.

    Exit codes: 0 all was told, or there was nothing to tell; 6 something did not arrive; 2 no key or a wrong
    setting; 1 failure, such as a history that can't be read.
    """
    target = _target(webhook, command, slack=slack, dry_run=dry_run, as_json=as_json)
    connection = connect()
    connection.must_be_active("Nothing is told of")
    if connection.forgets is not None and not dry_run:
        raise SetupError(f"What was told can't be remembered. {connection.forgets}")
    eligibility = connection.guard.check(refresh=refresh)
    left, arrived, shown = countdown(_DEADLINE), True, 0
    for name, find in _watched(connection, eligibility):
        if target is not None:
            arrived &= _tell_all(connection.config.open_store(), name, find, target, left, as_json=as_json)
            continue
        for each in find().alerts:
            _show("Would tell", each, as_json=as_json)
            shown += 1
    if target is None and not shown:
        say("There is nothing to tell.", err=True)
    if not arrived:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _target(
    webhook: str | None, command: str | None, *, slack: bool, dry_run: bool, as_json: bool
) -> Webhook | Command | None:
    """Return where alerts go; None for a dry run."""
    if webhook is not None and command is not None:
        raise SetupError("--webhook and --command exclude each other.")
    url = webhook if webhook is not None or command is not None else os.environ.get(WEBHOOK_VARIABLE)
    if slack and not url and not dry_run:
        raise SetupError(f"--slack is for a webhook: give its URL with --webhook or {WEBHOOK_VARIABLE}.")
    target: Webhook | Command | None = Webhook(url.strip(), slack) if url else None
    if command is not None:
        target = Command(command, prints_to_stderr=as_json)
    if target is None and not dry_run:
        raise SetupError(
            f"Say where to tell it: --webhook, {WEBHOOK_VARIABLE} or --command; or use --dry-run."
        )
    return None if dry_run else target


def _watched(connection: Connection, eligibility: Eligibility) -> Iterator[tuple[str, Callable[[], Due]]]:
    """Yield the name of the organization and of each resource, with what finds the alerts about it."""
    store, now = connection.config.open_store(), eligibility.checked_at
    if connection.guard.guards_jobs:
        name = eligibility.organization or UNNAMED

        def find() -> Due:
            history, window = connection.guard.history(), endings.window(eligibility)
            models = endings.models(history.known_models, connection.dates())
            ends = models if window is None else [window, *models]
            return due(eligibility, history.evidence, ends, store.alerts(name))

        yield name, find
    deployments = connection.guard.deployments(everywhere=True)
    for resource in sorted({each.resource for each in deployments}):
        mine = [each for each in deployments if each.resource == resource]
        yield resource, lambda: deployments_due(mine, store.alerts(resource), now)  # noqa: B023 -- called at once


def _tell_all(
    store: Store,
    name: str,
    find: Callable[[], Due],
    target: Webhook | Command,
    left: Callable[[], timedelta],
    *,
    as_json: bool,
) -> bool:
    """Tell what is due, and keep of each alert that it was told; return whether all has arrived."""
    lease, arrived = store.lease(f"alert/{name}", _DEADLINE + _MARGIN), True
    if lease is None:
        say("Another run is telling at this moment: nothing is told by this one.", err=True)
        return True
    try:
        found = find()
        store.keep_alerts(name, found.settled)
        for each in found.alerts:
            failure = target.send(each) if left() > timedelta(0) else "there was no time left for it"
            if failure is not None:
                arrived = False
                tell(
                    f"Not told, and tried again by the next run: {target}: {failure}.\n  {each.event.message}"
                )
            else:
                store.keep_alerts(name, each.told)
                _show("Told", each, as_json=as_json)
    finally:
        store.release(lease)
    return arrived


def _show(what: str, told: Alert, *, as_json: bool) -> None:
    typer.echo(json.dumps(payload(told)) if as_json else lines(f"{what}: {told.event.message}"))
