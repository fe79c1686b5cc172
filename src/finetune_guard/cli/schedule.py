"""``finetune-guard schedule``: print a scheduler's configuration for the keep-alive."""

from __future__ import annotations

import random
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from string import Template
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from finetune_guard.cli.exits import SetupError
from finetune_guard.cli.options import Deployments
from finetune_guard.cli.output import note, template
from finetune_guard.cli.verdict import REMOVABLE
from finetune_guard.config import GuardConfig
from finetune_guard.domain.idle_policy import AZURE, SHIPPED
from finetune_guard.domain.validation import Duration
from finetune_guard.rules.keep_alive import KeepAlive

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_HOURS = (1, 2, 3, 4, 6, 8, 12)
_MOST_DAYS = 28
_PERIODS = [timedelta(hours=each) for each in _HOURS] + [_DAY * each for each in range(1, _MOST_DAYS + 1)]
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_IMAGE = "python:3.13-slim"
_NAME_ALONE = re.compile(r"finetune[-_.]guard(\[[^]]*\])?\s*([=<>~!].*)?", re.IGNORECASE)
_NOT_PUBLISHED = (
    "finetune-guard is not published on pypi.org: whoever registers the name there would get your key. Say "
    "what pip is to install with --install, such as the URL of a wheel or of a git repository"
)


class Scheduler(str, Enum):
    """The supported schedulers."""

    CRON = "cron"
    SYSTEMD = "systemd"
    KUBERNETES = "kubernetes"
    GITHUB_ACTIONS = "github-actions"


_TEMPLATES = {
    Scheduler.CRON: "cron.txt",
    Scheduler.SYSTEMD: "systemd.txt",
    Scheduler.KUBERNETES: "kubernetes.yaml",
    Scheduler.GITHUB_ACTIONS: "github-actions.yml",
}


def schedule(
    *,
    scheduler: Annotated[Scheduler, typer.Argument(help="Who is to run it.", show_default=False)],
    every: Annotated[
        str | None, typer.Option(metavar="TIME", help="How often.", show_default="7d, for deployments 1d")
    ] = None,
    deployment: Deployments = None,
    image: Annotated[
        str | None, typer.Option(help="For kubernetes: an image that has finetune-guard installed.")
    ] = None,
    install: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="For kubernetes and github-actions: what pip is to install first."),
    ] = None,
) -> None:
    """Print the configuration with which cron or another scheduler runs the keep-alive.

    Nothing is installed. --every takes whole days, or hours such as 12h; the minute is random, so that not
    everybody runs at once. Keys are referred to and never printed. kubernetes needs --image or --install and
    github-actions --install, such as the URL of a wheel or of a git repository, since finetune-guard is not
    published on pypi.org. A process that stays needs no scheduler: `finetune-guard keep-alive --watch`.
    """
    packages = _packages(scheduler, image, install)
    if deployment:
        renew_within = min(policy.warn_within for policy in SHIPPED if policy.name == AZURE)
    else:
        renew_within = _renewal_of_jobs()
    cron, calendar = _times(_period(every or ("1d" if deployment else "7d"), renew_within))
    options = [part for name in deployment or () for part in ("--deployment", name)]
    parts = [*_program(), "keep-alive", *options]
    command = {
        Scheduler.CRON: shlex.join(parts).replace("%", r"\%"),
        Scheduler.SYSTEMD: " ".join(map(_quoted_for_systemd, parts)),
        Scheduler.KUBERNETES: _container_command(packages, options),
        Scheduler.GITHUB_ACTIONS: shlex.join(["finetune-guard", "keep-alive", *options]),
    }[scheduler]
    keys = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY") if deployment else ("OPENAI_API_KEY",)
    values = {
        "cron": cron,
        "calendar": calendar,
        "command": command,
        "image": _quoted_for_yaml(image or _IMAGE),
        "install": packages,
        "purpose": "deployments alive that nobody calls"
        if deployment
        else "the right to create fine-tuning jobs",
        "keys": " and ".join(keys),
        "assigned_keys": " and ".join(f"{key}=..." for key in keys),
        "set_keys": "\n".join(f"#     gh secret set {key}" for key in keys),
        "secret_keys": "\n".join(f"          {key}: ${{{{ secrets.{key} }}}}" for key in keys),
    }
    if deployment:
        typer.echo(
            "# The deployments that are named go on being billed by the hour for as long as they stand."
        )
    typer.echo(Template(template(_TEMPLATES[scheduler])).substitute(values), nl=False)


def _renewal_of_jobs() -> timedelta:
    """Return how long before its end the window is renewed; warn on stderr if that no longer helps."""
    config = GuardConfig()
    closing = config.policy.closing
    if closing is not None and closing.begins is not None and closing.begins[1] <= config.clock():
        note(
            f"Since {closing.starts_on} nobody can create fine-tuning jobs: no keep-alive helps. {REMOVABLE}"
        )
    return (config.keep_alive or KeepAlive()).renew_within


def _period(text: str, renew_within: timedelta) -> timedelta:
    try:
        every: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        every = timedelta(0)
    if every not in _PERIODS:
        hours = ", ".join(f"{each}h" for each in _HOURS)
        allowed = f"whole days from 1d to {_MOST_DAYS}d, or {hours}, is what a schedule can say"
        raise SetupError(f"--every is {text!r}: {allowed}.")
    if every >= renew_within:
        raise SetupError(
            f"--every is {text!r}: a keep-alive is due in the last {renew_within / _DAY:g} days of the "
            "window, and a run has to fall into them. Take a shorter time, or a longer renew_within."
        )
    return every


def _times(every: timedelta) -> tuple[str, str]:
    """Return cron's five fields and systemd's calendar event for a period, at a random time of day."""
    lots = random.SystemRandom()
    minute, hour, weekday = lots.randint(1, 58), lots.randint(0, 23), lots.randint(0, 6)
    hours, days, at = every // timedelta(hours=1), every.days, f"{hour:02}:{minute:02}:00"
    if every < _DAY:
        cron, calendar = ("*", "*") if hours == 1 else (f"*/{hours}", f"00/{hours}")
        return f"{minute} {cron} * * *", f"*-*-* {calendar}:{minute:02}:00"
    if every == _WEEK:
        return f"{minute} {hour} * * {weekday}", f"{_WEEKDAYS[weekday]} *-*-* {at}"
    cron, calendar = ("*", "*") if days == 1 else (f"*/{days}", f"01/{days}")
    return f"{minute} {hour} {cron} * *", f"*-*-{calendar} {at}"


def _packages(scheduler: Scheduler, image: str | None, install: str | None) -> str | None:
    """Return pip's arguments, quoted for a shell; None where nothing is to be installed."""
    if image is not None and scheduler is not Scheduler.KUBERNETES:
        raise SetupError(f"--image is for kubernetes; {scheduler.value} runs no image.")
    if scheduler in (Scheduler.CRON, Scheduler.SYSTEMD):
        if install is not None:
            raise SetupError(
                f"--install is for kubernetes and github-actions; {scheduler.value} runs this one."
            )
        return None
    if install is None and image is not None:
        return None
    try:
        arguments = [install or ""] if " @ " in (install or "") else shlex.split(install or "")
    except ValueError as error:
        raise SetupError(f"--install is {install!r}: a shell can't read it: {error}.") from None
    if all(_NAME_ALONE.fullmatch(argument) for argument in arguments):
        or_image = ", or name an image that has it with --image" if scheduler is Scheduler.KUBERNETES else ""
        raise SetupError(f"{_NOT_PUBLISHED}{or_image}.")
    return shlex.join(arguments)


def _program() -> list[str]:
    """Return the running program's absolute path."""
    beside = shutil.which("finetune-guard", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("finetune-guard")
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "finetune_guard"]


def _quoted_for_systemd(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(letter in part for letter in " \t\"'\\;") else escaped


def _container_command(packages: str | None, options: Sequence[str]) -> str:
    command = ["finetune-guard", "keep-alive", *options]
    if packages is None:
        return f"              command: [{', '.join(map(_quoted_for_yaml, command))}]"
    return f"""\
              command:
                - sh
                - -ec
                - |
                  python -m venv /tmp/venv
                  /tmp/venv/bin/pip install --quiet {packages}
                  exec /tmp/venv/bin/{shlex.join(command)}"""


def _quoted_for_yaml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
