"""The command ``finetune-guard`` and all its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from finetune_guard.cli.alert import alert
from finetune_guard.cli.calendar import calendar
from finetune_guard.cli.check import check
from finetune_guard.cli.config import config
from finetune_guard.cli.demo import demo
from finetune_guard.cli.deployments import deployments
from finetune_guard.cli.export import delete_orphans, export, verify
from finetune_guard.cli.history import forget, history
from finetune_guard.cli.keep_alive import keep_alive
from finetune_guard.cli.metrics import metrics
from finetune_guard.cli.models import models
from finetune_guard.cli.parsing import DEBUG, Command, Group, Root
from finetune_guard.cli.policies import check_file, policies
from finetune_guard.cli.report import report
from finetune_guard.cli.run import run
from finetune_guard.cli.schedule import schedule
from finetune_guard.cli.simulator import simulator
from finetune_guard.cli.status import status
from finetune_guard.cli.sync import sync

_PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "See where you stand": {"status": status, "check": check, "models": models, "deployments": deployments},
    "Keep the window open": {"keep-alive": keep_alive, "schedule": schedule, "sync": sync},
    "Save what can't be made again": {"export": export, "verify": verify},
    "Tell others": {"alert": alert, "calendar": calendar, "metrics": metrics, "report": report},
    "Set up and try": {"config": config, "run": run, "simulator": simulator, "demo": demo},
}
app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode="markdown",  # else the lines of a paragraph break where the source's do
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tell whether fine-tuning jobs can still be created, until when, and what to do about it.",
    epilog="The client is made from OPENAI_API_KEY, OPENAI_ADMIN_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID "
    "and FINETUNE_GUARD_*.\n\nTo uninstall: `finetune-guard config` lists what there is to remove.",
)


def _print_version(value: bool) -> None:
    if not value:
        return
    import platform  # noqa: PLC0415 -- for this alone
    from importlib.metadata import version  # noqa: PLC0415 -- for this alone

    typer.echo(
        f"finetune-guard {version('finetune-guard')} (openai {version('openai')}, "
        f"Python {platform.python_version()}, {sys.platform})"
    )
    raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the versions.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show tracebacks; it may also stand last.")] = False,
) -> None:
    """Handle the options before a command's name."""


for panel, commands in _PANELS.items():
    for name, function in commands.items():
        own_options = {"ignore_unknown_options": True, "allow_interspersed_args": False}
        settings = own_options if function is run else None
        app.command(name, cls=Command, rich_help_panel=panel, context_settings=settings)(function)


def _group(name: str, panel: str, itself: Callable[..., None], *, without_help: bool = True) -> typer.Typer:
    group = typer.Typer(
        cls=Group,
        invoke_without_command=without_help,
        no_args_is_help=not without_help,
        rich_markup_mode="markdown",
    )
    group.callback()(itself)
    app.add_typer(group, name=name, rich_help_panel=panel)
    return group


def _files() -> None:
    """Delete uploaded files that no job uses."""


_group("history", "See where you stand", history).command("forget", cls=Command)(forget)
_group("policies", "Set up and try", policies).command("check", cls=Command)(check_file)
files = _group("files", "Save what can't be made again", _files, without_help=False)
files.command("delete-orphans", cls=Command)(delete_orphans)
