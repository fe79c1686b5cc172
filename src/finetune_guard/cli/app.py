"""The command ``finetune-guard`` and all its subcommands."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from finetune_guard.cli.check import check
from finetune_guard.cli.config import config
from finetune_guard.cli.connection import connections_closed
from finetune_guard.cli.demo import demo
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.export import export
from finetune_guard.cli.failures import reported, tell, unwritten
from finetune_guard.cli.files import delete_orphans
from finetune_guard.cli.history import history
from finetune_guard.cli.history_forget import forget
from finetune_guard.cli.keep_alive import keep_alive
from finetune_guard.cli.models import models
from finetune_guard.cli.options import Debug, wants_debug
from finetune_guard.cli.output import flush_output, make_printable
from finetune_guard.cli.run import run
from finetune_guard.cli.schedule import schedule
from finetune_guard.cli.simulator import simulator
from finetune_guard.cli.status import status
from finetune_guard.cli.sync import sync
from finetune_guard.cli.verify import verify
from finetune_guard.domain.validation import shown


class Commands(TyperGroup):
    """The group of all commands: every failure ends here as a message and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the process, and fail when its output can't be written."""
        make_printable()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # what --help prints
            flush_output()
            failure = error
        except SystemExit:
            found = flush_output()
            if found is None or isinstance(found, BrokenPipeError):
                raise
            failure = found
        tell(f"Error: {unwritten(failure)}")
        raise SystemExit(ExitCode.FAILURE)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse arguments with control characters: they could forge a line of the output.

        Those of a program that ``run`` runs are its own matter.
        """
        command = next((argument for argument in args if not argument.startswith("-")), None)
        for argument in args if command != "run" else ():
            if not argument.isprintable():
                raise typer.BadParameter(f"{shown(argument)} has characters that can't be printed.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with reported(lambda: wants_debug(ctx)), connections_closed():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",  # else the lines of a paragraph break where the source's do
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tell whether fine-tuning jobs can still be created, until when, and what to do about it.",
    epilog="The client is made from OPENAI_API_KEY, OPENAI_ADMIN_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID "
    "and FINETUNE_GUARD_*.",
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
        bool,
        typer.Option("--version", help="Print the versions.", callback=_print_version, is_eager=True),
    ] = False,
    debug: Debug = False,
) -> None:
    """Take the options that stand before a command's name."""


app.command("status")(status)
app.command("check")(check)
app.command("keep-alive")(keep_alive)
app.command("schedule")(schedule)
app.command("sync")(sync)
app.command("models")(models)
app.command("export")(export)
app.command("verify")(verify)
file_commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Look after files that were uploaded."
)
file_commands.command("delete-orphans")(delete_orphans)
file_commands.callback()(lambda: None)
app.add_typer(file_commands, name="files")
history_commands = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
history_commands.callback()(history)
history_commands.command("forget")(forget)
app.add_typer(history_commands, name="history")
app.command("config")(config)
app.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(run)
app.command("simulator")(simulator)
app.command("demo")(demo)
