"""Where `finetune-guard alert` sends an alert: to a webhook, or to a command's standard input."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from finetune_guard.cli.failures import SetupError
from finetune_guard.client.threads import within
from finetune_guard.rules.alerts import Alert

WEBHOOK_VARIABLE = "FINETUNE_GUARD_WEBHOOK"
JSON_VARIABLE = "ALERT_JSON"

_TIMEOUT = 10.0
_COMMAND_TIMEOUT = 60.0
_STDERR = 2
_REDIRECTS = range(300, 400)
_NOT_FOLLOWED = ": a redirect is not followed, so name the URL that it leads to"


def payload(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON can hold it."""
    return {"id": alert.id, "event": alert.event.kind, **alert.event.model_dump(mode="json")}


@dataclass(frozen=True)
class Webhook:
    """A URL that takes alerts by POST. The URL is a secret: nothing that is said names more than its host.

    Attributes:
        url: The URL.
        slack: Whether Slack's form is sent: the message alone.
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
                f"user or password in it is required, in --webhook or {WEBHOOK_VARIABLE}."
            )

    def __str__(self) -> str:
        return f"the webhook at {urlsplit(self.url).hostname}"

    def send(self, alert: Alert) -> str | None:
        """Post ``alert``, at most ten seconds long; return why it may not have arrived, None if it has.

        A redirect is not followed: the URL is a secret, and whatever it leads to may be another's.
        """
        body = {"text": _for_slack(alert.event.message)} if self.slack else payload(alert)
        headers = {"Content-Type": "application/json", "User-Agent": "finetune-guard"}
        try:
            request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)  # noqa: S310 -- checked above
            within(_TIMEOUT, partial(_open, request))
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answered {error.code}{_NOT_FOLLOWED if error.code in _REDIRECTS else ''}"
        except TimeoutError:
            return f"it did not answer within {_TIMEOUT:g} seconds"
        except (HTTPException, OSError, ValueError) as error:  # their wording may hold the URL
            return _in_short(getattr(error, "reason", error))
        return None


@dataclass(frozen=True)
class Command:
    """A program that is run once for each alert.

    Attributes:
        line: The program and its arguments, as in a shell; no shell runs it.
        prints_to_stderr: Whether what it prints goes to stderr, since JSON is on stdout.
    """

    line: str
    prints_to_stderr: bool = False

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
        """Run the program, at most a minute long; return why it failed, None if it did not."""
        environment = {**os.environ, JSON_VARIABLE: json.dumps(payload(alert))}
        try:
            done = subprocess.run(  # noqa: S603 -- what the user asked for
                shlex.split(self.line),
                input=f"{alert.event.message}\n",
                stdout=_STDERR if self.prints_to_stderr else None,
                encoding="utf-8",
                env=environment,
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
        """Follow none."""


def _open(request: urllib.request.Request) -> None:
    with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT):
        pass


def _in_short(error: object) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _for_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
