"""The classes of commands and groups: their help, and how failures are reported."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import typer
from typer.core import TyperCommand, TyperGroup

from finetune_guard.cli.connection import OPENED
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.output import discard_output, flush_output, make_printable, tell, unwritten
from finetune_guard.domain.errors import FineTuneGuardError, GuardConfigError, KeepAliveError
from finetune_guard.domain.validation import format_value
from finetune_guard.openai_api.errors import status_and_code

DEBUG = "--debug"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO)


class _PlainFlags:
    """Lets the help show a flag as ``--json`` and not as ``--json <bool>``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters in the order of the help."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Command(_PlainFlags, TyperCommand):
    """A command."""


class Group(_PlainFlags, TyperGroup):
    """A command with subcommands."""


class Root(Group):
    """The group of all commands; it turns every failure into a message and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; report usage errors and failed output."""
        make_printable()
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False}) or ExitCode.OK
        except typer.Abort:
            tell("Aborted.")
            code = ExitCode.FAILURE
        except OSError as error:  # what --help prints
            flush_output()
            self._lost(error)
        except Exception as error:  # noqa: BLE001 -- what isn't a usage error is raised again
            code = _misused(error)
        failure = flush_output()
        if failure is not None and not isinstance(failure, BrokenPipeError):
            self._lost(failure)
        raise SystemExit(code)

    @staticmethod
    def _lost(failure: OSError) -> None:
        tell(f"Error: {unwritten(failure)}")
        raise SystemExit(ExitCode.FAILURE)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse arguments with control characters, and accept ``--debug`` after a command's name, too.

        Such characters could forge a line of the output. The arguments of a program that ``run`` runs are its
        own matter.
        """
        command = next((argument for argument in args if not argument.startswith("-")), None)
        if command == "run":
            return super().parse_args(ctx, args)
        for argument in args:
            if not argument.isprintable():
                named = format_value(argument) if "://" not in argument else "A URL"  # which may be a secret
                raise typer.BadParameter(f"{named} has characters that can't be printed.", ctx)
        others = [argument for argument in args if argument != DEBUG]
        return super().parse_args(ctx, others if others == args else [DEBUG, *others])

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with reported(lambda: bool(ctx.params.get("debug"))), OPENED:
            return super().invoke(ctx)


def _misused(error: Exception) -> int:
    """Report the parser's usage error, whose class depends on typer's release; return the exit code."""
    message: Callable[[], str] | None = getattr(error, "format_message", None)
    if message is None:
        raise error
    code: int = getattr(error, "exit_code", ExitCode.SETUP)
    if type(error).__name__ != "NoArgsIsHelpError":  # then the help was printed
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "finetune-guard"
        said = message().replace("Value error, ", "")  # pydantic's words, in typer's later releases
        tell(f"Error: {said}\nTo see what is allowed: {path} --help")
    return code


@contextmanager
def reported(debug: Callable[[], bool]) -> Iterator[None]:
    """Turn every exception inside into a message on stderr and an exit code.

    Warnings in the log of finetune-guard are shown on stderr, too.

    Args:
        debug: Whether tracebacks are wanted, asked when something failed.

    Raises:
        typer.Exit: Something failed.
    """
    handler = _OnStderr(level=logging.WARNING)
    logger = logging.getLogger("finetune_guard")
    logger.addHandler(handler)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        discard_output()
        raise typer.Exit(ExitCode.OK) from None
    except Exception as error:
        if hasattr(error, "exit_code"):  # the command line's own parser reports what it can't read
            raise
        if debug():
            tell("".join(traceback.format_exception(error)))
        tell(f"Error: {_message_of(error)}")
        is_setup = isinstance(error, (SetupError, GuardConfigError))
        raise typer.Exit(ExitCode.SETUP if is_setup else ExitCode.FAILURE) from None
    finally:
        logger.removeHandler(handler)


def _message_of(error: Exception) -> str:
    if isinstance(error, KeepAliveError) and error.attempts:
        tried = [f"  {model}: {why}" for model, why in error.attempts.items()]
        head, tail = (
            "The keep-alive was not answered by any model.",
            "Name a model that answers with --model.",
        )
        return "\n".join([head, *tried, tail])
    if isinstance(error, (SetupError, FineTuneGuardError)):
        return str(error)
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
        discard_output()
        return unwritten(error)
    if isinstance(error, openai.APIError):  # its own wording can hold parts of a key
        return f"The API did not do what was asked: {status_and_code(error)}."
    reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return f"finetune-guard failed with {type(error).__name__}{reason}. Add --debug to see where."


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(f"Note: {record.getMessage()}")
