"""``finetune-guard schedule``: what makes cron, systemd, Kubernetes or GitHub Actions send the keep-alive."""

from __future__ import annotations

import random
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.options import Debug
from finetune_guard.config import GuardConfig
from finetune_guard.domain.durations import Duration
from finetune_guard.rules.keep_alive import KeepAlive

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_HOURS = (1, 2, 3, 4, 6, 8, 12)
_MOST_DAYS = 28
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

_HISTORY = """\
# It knows what your programs know only if it shares their history: give both the same FINETUNE_GUARD_STORE,
# a folder that they share or a Redis URL. Without a history each run sends a keep-alive."""


class Scheduler(str, Enum):
    """Who runs the command."""

    CRON = "cron"
    SYSTEMD = "systemd"
    KUBERNETES = "kubernetes"
    GITHUB_ACTIONS = "github-actions"


@dataclass(frozen=True)
class Slot:
    """When it runs: a period, and a time of day and a day of the week that were drawn by lot.

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
        str, typer.Option(metavar="TIME", help="How often: 1d, 7d, other whole days, or hours such as 12h.")
    ] = "7d",
    image: Annotated[
        str | None,
        typer.Option(
            help="For kubernetes: an image that has finetune-guard; else it is installed each time."
        ),
    ] = None,
    debug: Debug = False,  # noqa: ARG001 -- read by its callback
) -> None:
    """Print what makes a scheduler run `finetune-guard keep-alive`; nothing is installed.

    The minute is drawn by lot at each call, so that not everybody runs at once. Keys are referred to and
    never printed. A process that stays needs no scheduler: `finetune-guard keep-alive --watch`.
    """
    if image is not None and scheduler is not Scheduler.KUBERNETES:
        raise SetupError(f"--image is for kubernetes; {scheduler.value} runs no image.")
    lots = random.SystemRandom()
    slot = Slot(_period(every), lots.randint(1, 58), lots.randint(0, 23), lots.randint(0, 6))
    written: dict[Scheduler, Callable[[], str]] = {
        Scheduler.CRON: lambda: _cron(slot),
        Scheduler.SYSTEMD: lambda: _systemd(slot),
        Scheduler.KUBERNETES: lambda: _kubernetes(slot, image),
        Scheduler.GITHUB_ACTIONS: lambda: _github_actions(slot),
    }
    typer.echo(written[scheduler]())


def _period(text: str) -> timedelta:
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
    renew_within = (GuardConfig().keep_alive or KeepAlive()).renew_within
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
    program = [str(Path(found).absolute())] if found else [sys.executable, "-m", "finetune_guard.cli"]
    return [*program, "keep-alive"]


def _cron(slot: Slot) -> str:
    command = shlex.join(_command()).replace("%", r"\%")
    return f"""\
# Add the last line with crontab -e, as the user whose programs call the models: they share a history then.
# cron passes on no environment. Put OPENAI_API_KEY=... into ~/.config/finetune-guard.env (chmod 600), and
# whatever else of OPENAI_ and FINETUNE_GUARD_ your programs have set. What goes wrong comes by cron's mail.
{_HISTORY}
{slot.cron} set -a; . "$HOME/.config/finetune-guard.env" && {command} > /dev/null"""


def _systemd(slot: Slot) -> str:
    command = " ".join(_quoted_for_systemd(part) for part in _command())
    return f"""\
# Two files, for the user whose programs call the models: they share a history then.
# Put OPENAI_API_KEY=... into ~/.config/finetune-guard.env (chmod 600), and whatever else of OPENAI_ and
# FINETUNE_GUARD_ your programs have set. Then:
#
#     systemctl --user daemon-reload
#     systemctl --user enable --now finetune-guard.timer
#     loginctl enable-linger    # so that it runs while the user is not logged in
#
# For a service's user, put them into /etc/systemd/system with User= and another EnvironmentFile=.
{_HISTORY}

# ~/.config/systemd/user/finetune-guard.service
[Unit]
Description=Keep the right to create fine-tuning jobs
StartLimitIntervalSec=1d
StartLimitBurst=5

[Service]
Type=oneshot
ExecStart={command}
EnvironmentFile=%h/.config/finetune-guard.env
TimeoutStartSec=10min
Restart=on-failure
RestartSec=15min
RestartPreventExitStatus=2
NoNewPrivileges=yes

# ~/.config/systemd/user/finetune-guard.timer
[Unit]
Description=Keep the right to create fine-tuning jobs, from time to time

[Timer]
OnCalendar={slot.calendar}
RandomizedDelaySec=30min
Persistent=true

[Install]
WantedBy=timers.target"""


def _quoted_for_systemd(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(letter in part for letter in " \t\"'\\;") else escaped


def _requirement() -> str:
    return f"finetune-guard[redis]=={version('finetune-guard')}"


def _kubernetes(slot: Slot, image: str | None) -> str:
    if image is not None:
        command = '["finetune-guard", "keep-alive"]'
    else:
        command = f"""
                - sh
                - -c
                - >-
                  python -m venv /tmp/venv
                  && /tmp/venv/bin/pip install --quiet '{_requirement()}'
                  && exec /tmp/venv/bin/finetune-guard keep-alive"""
    return f"""\
# Save as keep-alive.yaml, then: kubectl apply -f keep-alive.yaml
# The secret that it refers to, from a file of lines such as OPENAI_API_KEY=... that stays out of git:
#
#     kubectl create secret generic finetune-guard --from-env-file=finetune-guard.env
#
# The file needs OPENAI_API_KEY, and FINETUNE_GUARD_STORE: a Redis URL, or a folder on a volume to be mounted.
{_HISTORY}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: finetune-guard-keep-alive
spec:
  schedule: "{slot.cron}"
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 43200
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 3
      activeDeadlineSeconds: 1800
      template:
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            fsGroup: 65532
            seccompProfile:
              type: RuntimeDefault
          containers:
            - name: keep-alive
              image: {_quoted_for_yaml(image or "python:3.13-slim")}
              command: {command.lstrip(" ")}
              envFrom:
                - secretRef:
                    name: finetune-guard
              env:
                - name: HOME
                  value: /tmp
              resources:
                requests:
                  cpu: 100m
                  memory: 128Mi
                limits:
                  memory: 512Mi
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities:
                  drop: ["ALL"]
              volumeMounts:
                - name: tmp
                  mountPath: /tmp
          volumes:
            - name: tmp
              emptyDir: {{}}""".replace("command: \n", "command:\n")


def _quoted_for_yaml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _github_actions(slot: Slot) -> str:
    return f"""\
# Save as .github/workflows/finetune-guard.yml on the default branch.
# Set two secrets, in the repository's settings or so:
#
#     gh secret set OPENAI_API_KEY
#     gh secret set FINETUNE_GUARD_STORE    # a Redis URL that a runner can reach
#
# A runner keeps nothing, so that a folder is no history here.
{_HISTORY}
# GitHub ends the schedules of a public repository after 60 days without a commit, and says so by mail only.
name: Keep the right to fine-tune

on:
  schedule:
    - cron: "{slot.cron}"
  workflow_dispatch:

permissions: {{}}

concurrency:
  group: finetune-guard

jobs:
  keep-alive:
    runs-on: ubuntu-latest
    timeout-minutes: 15
    steps:
      - uses: actions/setup-python@v6
        with:
          python-version: "3.13"
      - run: python -m pip install --quiet '{_requirement()}'
      - run: finetune-guard keep-alive
        env:
          OPENAI_API_KEY: ${{{{ secrets.OPENAI_API_KEY }}}}
          FINETUNE_GUARD_STORE: ${{{{ secrets.FINETUNE_GUARD_STORE }}}}"""
