"""``finetune-guard alert``: report changes and approaching deadlines to a webhook or a command, each once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http.client import HTTPException
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.options import Json, Refresh
from finetune_guard.cli.output import say, tell
from finetune_guard.client.threads import run_with_timeout
from finetune_guard.clock import countdown
from finetune_guard.domain.organizations import UNNAMED
from finetune_guard.domain.text import lines
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules import endings
from finetune_guard.rules.alerts import Alert, Due, alerts_due, deployment_alerts_due
from finetune_guard.stores.base import Store

_WEBHOOK = "FINETUNE_GUARD_WEBHOOK"
_DEADLINE = timedelta(minutes=3)
"""How long one run tells; what is left then is told by the next."""

_MARGIN = timedelta(seconds=90)
_TIMEOUT = 10.0
_COMMAND_TIMEOUT = 60.0
_STDERR = 2
_REDIRECTS = range(300, 400)
_NOT_FOLLOWED = ": a redirect is not followed, so name the URL that it leads to"


def alert(
    *,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help=f"Post each alert to this URL. It is a secret: {_WEBHOOK} hides it."
        ),
    ] = None,
    slack: Annotated[bool, typer.Option("--slack", help="Post in the form of Slack's webhooks.")] = False,
    command: Annotated[
        str | None,
        typer.Option(help="Run this instead, with the message on its input and the facts in ALERT_JSON."),
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
    is told by the next run; if one is killed in between, an alert comes twice, with the same id.

    Exit codes: 0 all was told, or there was nothing to tell; 6 something did not arrive; 2 no key or a wrong
    setting; 1 failure, such as a history that can't be read.
    """
    target = _target(webhook, command, slack=slack, dry_run=dry_run, as_json=as_json)
    connection = connect().must_be_active("Nothing is told of")
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
) -> _Webhook | _Program | None:
    """Return the destination of the alerts; None for a dry run."""
    if webhook is not None and command is not None:
        raise SetupError("--webhook and --command exclude each other.")
    url = webhook if webhook is not None or command is not None else os.environ.get(_WEBHOOK)
    if slack and not url and not dry_run:
        raise SetupError(f"--slack is for a webhook: give its URL with --webhook or {_WEBHOOK}.")
    target: _Webhook | _Program | None = _Webhook(url.strip(), slack) if url else None
    if command is not None:
        target = _Program(command, prints_to_stderr=as_json)
    if target is None and not dry_run:
        raise SetupError(f"Say where to tell it: --webhook, {_WEBHOOK} or --command; or use --dry-run.")
    return None if dry_run else target


def _watched(connection: Connection, eligibility: Eligibility) -> Iterator[tuple[str, Callable[[], Due]]]:
    """Yield the organization's name and each resource's, with a function that finds its alerts."""
    store, now = connection.config.open_store(), eligibility.checked_at
    if connection.guard.guards_jobs:
        name = eligibility.organization or UNNAMED

        def find() -> Due:
            history, window = connection.guard.history(), endings.window_end(eligibility)
            models = endings.model_ends(history.known_models, connection.dates())
            ends = models if window is None else [window, *models]
            return alerts_due(eligibility, history.evidence, ends, store.alerts(name))

        yield name, find
    deployments = connection.guard.deployments(everywhere=True)
    for resource in sorted({each.resource for each in deployments}):
        mine = [each for each in deployments if each.resource == resource]
        yield resource, lambda: deployment_alerts_due(mine, store.alerts(resource), now)  # noqa: B023 -- called at once


def _tell_all(
    store: Store,
    name: str,
    find: Callable[[], Due],
    target: _Webhook | _Program,
    left: Callable[[], timedelta],
    *,
    as_json: bool,
) -> bool:
    """Send the alerts that are due and record each one as sent; return whether all were delivered."""
    lease, arrived = store.lease(f"alert/{name}", _DEADLINE + _MARGIN), True
    if lease is None:
        say("Another run is telling at this moment: nothing is told by this one.", err=True)
        return True
    try:
        found = find()
        store.keep_alerts(name, found.updates)
        for each in found.alerts:
            failure = target.send(each) if left() > timedelta(0) else "there was no time left for it"
            if failure is None:
                store.keep_alerts(name, each.state)
                _show("Told", each, as_json=as_json)
                continue
            arrived = False
            failed = f"Not told, and tried again by the next run: {target}: {failure}."
            tell(f"{failed}\n  {each.event.message}")
    finally:
        store.release(lease)
    return arrived


def _show(what: str, told: Alert, *, as_json: bool) -> None:
    typer.echo(json.dumps(_payload(told)) if as_json else lines(f"{what}: {told.event.message}"))


def _payload(alert: Alert) -> dict[str, Any]:
    return {"id": alert.id, "event": alert.event.kind, **alert.event.model_dump(mode="json")}


@dataclass(frozen=True)
class _Webhook:
    """A URL that receives alerts by POST, in Slack's format or as JSON.

    The URL is a secret: nothing that is said names more than its host.
    """

    url: str
    slack: bool

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
            _ = parts.port
        except ValueError:
            is_url = False
        if not is_url:
            raise SetupError(
                "The webhook is no URL that can be used: one that begins with https:// or http:// and has no "
                f"user or password in it is required, in --webhook or {_WEBHOOK}."
            )

    def __str__(self) -> str:
        return f"the webhook at {urlsplit(self.url).hostname}"

    def send(self, alert: Alert) -> str | None:
        """Post ``alert`` within ten seconds; return why it may not have arrived, or None if it did.

        A redirect is not followed: the URL is a secret, and whatever it leads to may be another's.
        """
        message = alert.event.message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = {"text": message} if self.slack else _payload(alert)
        headers = {"Content-Type": "application/json", "User-Agent": "finetune-guard"}
        try:
            request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)  # noqa: S310 -- checked above
            run_with_timeout(_TIMEOUT, partial(_open, request))
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answered {error.code}{_NOT_FOLLOWED if error.code in _REDIRECTS else ''}"
        except TimeoutError:
            return f"it did not answer within {_TIMEOUT:g} seconds"
        except (HTTPException, OSError, ValueError) as error:  # their wording may hold the URL
            return _in_short(getattr(error, "reason", error))
        return None


@dataclass(frozen=True)
class _Program:
    """A program with its arguments, run once for each alert; no shell runs it."""

    line: str
    prints_to_stderr: bool

    def __post_init__(self) -> None:
        try:
            is_command = bool(shlex.split(self.line))
        except ValueError:
            is_command = False
        if not is_command:
            raise SetupError("--command names no program that can be run: write it as in a shell.")

    def __str__(self) -> str:
        return "the command"

    def send(self, alert: Alert) -> str | None:
        """Run the program for at most a minute; return why it failed, or None if it succeeded."""
        try:
            done = subprocess.run(  # noqa: S603 -- what the user asked for
                shlex.split(self.line),
                input=f"{alert.event.message}\n",
                stdout=_STDERR if self.prints_to_stderr else None,
                encoding="utf-8",
                env={**os.environ, "ALERT_JSON": json.dumps(_payload(alert))},
                timeout=_COMMAND_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"it did not end within {_COMMAND_TIMEOUT:g} seconds"
        except (OSError, ValueError) as error:
            return _in_short(error)
        return f"it ended with exit code {done.returncode}" if done.returncode else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect."""


def _open(request: urllib.request.Request) -> None:
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT):
        pass


def _in_short(error: object) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
