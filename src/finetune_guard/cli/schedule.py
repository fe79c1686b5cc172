"""``finetune-guard schedule``: print what makes a scheduler run the keep-alive."""

from __future__ import annotations

import pkgutil
import random
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from string import Template
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.options import Deployments
from finetune_guard.config import GuardConfig
from finetune_guard.domain.idle_policy import AZURE, SHIPPED
from finetune_guard.domain.validation import Duration
from finetune_guard.rules.keep_alive import KeepAlive

_AZURE_VARIABLES = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY")
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_HOURS = (1, 2, 3, 4, 6, 8, 12)
_MOST_DAYS = 28
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_IMAGE = "python:3.13-slim"
_NAME_ALONE = re.compile(r"finetune[-_.]guard(\[[^]]*\])?\s*([=<>~!].*)?", re.IGNORECASE)
_NOT_PUBLISHED = (
    "finetune-guard is not published on pypi.org: whoever registers the name there would get your key. Say "
    "what pip is to install with --install, such as the URL of a wheel or of a git repository"
)


class Scheduler(str, Enum):
    """Who runs the command."""

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


@dataclass(frozen=True)
class Slot:
    """When it runs: a period, and a time of day and a day of the week, both drawn at random.

    Attributes:
        every: The period: hours that divide a day, or whole days.
        minute: From 0 to 59.
        hour: From 0 to 23.
        weekday: From 0, Sunday, to 6.
    """

    every: timedelta
    minute: int
    hour: int
    weekday: int

    @property
    def cron(self) -> str:
        """The five fields of cron."""
        hours, days = int(self.every / timedelta(hours=1)), self.every.days
        if self.every < _DAY:
            return f"{self.minute} {'*' if hours == 1 else f'*/{hours}'} * * *"
        if self.every == _WEEK:
            return f"{self.minute} {self.hour} * * {self.weekday}"
        return f"{self.minute} {self.hour} {'*' if days == 1 else f'*/{days}'} * *"

    @property
    def calendar(self) -> str:
        """The same as a calendar event of systemd."""
        hours, days = int(self.every / timedelta(hours=1)), self.every.days
        if self.every < _DAY:
            return f"*-*-* {'*' if hours == 1 else f'00/{hours}'}:{self.minute:02}:00"
        at = f"{self.hour:02}:{self.minute:02}:00"
        if self.every == _WEEK:
            return f"{_WEEKDAYS[self.weekday]} *-*-* {at}"
        return f"*-*-{'*' if days == 1 else f'01/{days}'} {at}"


def schedule(
    *,
    scheduler: Annotated[Scheduler, typer.Argument(help="Who is to run it.", show_default=False)],
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How often: 1d, 7d, other whole days, or hours such as 12h.",
            show_default="7d, for deployments 1d",
        ),
    ] = None,
    deployment: Deployments = None,
    image: Annotated[
        str | None, typer.Option(help="For kubernetes: an image that has finetune-guard installed.")
    ] = None,
    install: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="For kubernetes and github-actions: what pip is to install before each run, such as the URL "
            "of a wheel or of a git repository, with an index option if need be.",
        ),
    ] = None,
) -> None:
    """Print what makes cron or another scheduler run the keep-alive.

    Nothing is installed. The minute is random, so that not everybody runs at once. Keys are referred to
    and never printed. kubernetes needs --image or --install and github-actions --install, since
    finetune-guard is not published on pypi.org. A process that stays needs no scheduler: `finetune-guard
    keep-alive --watch`.
    """
    packages = _packages(scheduler, image, install)
    lots = random.SystemRandom()
    slot = Slot(
        _period(every, deployment or ()), lots.randint(1, 58), lots.randint(0, 23), lots.randint(0, 6)
    )
    options = [part for name in deployment or () for part in ("--deployment", name)]
    parts = [*_command(), *options]
    command = {
        Scheduler.CRON: shlex.join(parts).replace("%", r"\%"),
        Scheduler.SYSTEMD: " ".join(map(_quoted_for_systemd, parts)),
        Scheduler.KUBERNETES: _container_command(packages, options),
        Scheduler.GITHUB_ACTIONS: shlex.join(["finetune-guard", "keep-alive", *options]),
    }[scheduler]
    text = (pkgutil.get_data("finetune_guard.cli", f"templates/{_TEMPLATES[scheduler]}") or b"").decode()
    values = {
        "cron": slot.cron,
        "calendar": slot.calendar,
        "command": command,
        "image": _quoted_for_yaml(image or _IMAGE),
        "install": packages,
    }
    text = Template(text).substitute(values)
    typer.echo(_for_azure(text) if deployment else text, nl=False)


def _for_azure(text: str) -> str:
    """Return the text of a template with the variables of Azure's client, and what it costs."""
    told = ["# The deployments that are named go on being billed by the hour for as long as they stand."]
    for line in text.splitlines():
        named = [line.replace("OPENAI_API_KEY", name) for name in _AZURE_VARIABLES]
        is_list = "secrets." in line or "secret set" in line
        if "OPENAI_API_KEY" in line:
            joint = "=... and " if "OPENAI_API_KEY=" in line else " and "
            told += named if is_list else [line.replace("OPENAI_API_KEY", joint.join(_AZURE_VARIABLES))]
        else:
            told.append(
                line.replace("right to create fine-tuning jobs", "deployments alive that nobody calls")
            )
    return "\n".join([*told, ""])


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


def _period(text: str | None, deployments: Sequence[str]) -> timedelta:
    longest = min(policy.warn_within for policy in SHIPPED if policy.name == AZURE) if deployments else None
    text = text or ("1d" if deployments else "7d")
    try:
        every: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        every = timedelta(0)
    if every not in [timedelta(hours=hours) for hours in _HOURS] and every not in [
        timedelta(days=days) for days in range(1, _MOST_DAYS + 1)
    ]:
        raise SetupError(
            f"--every is {text!r}: whole days from 1d to {_MOST_DAYS}d, or "
            f"{', '.join(f'{hours}h' for hours in _HOURS)}, is what a schedule can say."
        )
    renew_within = longest or (GuardConfig().keep_alive or KeepAlive()).renew_within
    if every >= renew_within:
        raise SetupError(
            f"--every is {text!r}: a keep-alive is due in the last {renew_within / _DAY:g} days of the "
            "window, and a run has to fall into them. Take a shorter time, or a longer renew_within."
        )
    return every


def _command() -> list[str]:
    """The program that runs now, as one that another environment finds."""
    beside = shutil.which("finetune-guard", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("finetune-guard")
    program = [str(Path(found).absolute())] if found else [sys.executable, "-m", "finetune_guard"]
    return [*program, "keep-alive"]


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
