"""What a command prints when it fails, and the exit code that it ends with."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import openai
import typer

from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.output import discard_output, say
from finetune_guard.domain.errors import FineTuneGuardError, GuardConfigError, KeepAliveError
from finetune_guard.domain.text import HIDDEN, lines, without_secrets
from finetune_guard.openai_api.errors import in_short

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO)
_SECRETS = ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "FINETUNE_GUARD_ADMIN_API_KEY", "FINETUNE_GUARD_WEBHOOK")


class SetupError(Exception):
    """A key or a setting is missing or wrong; the message says what to set."""


def need_extra(module: str, extra: str) -> None:
    """Make sure that an optional package is installed.

    Raises:
        SetupError: It is not.
    """
    if importlib.util.find_spec(module) is None:
        raise SetupError(f"This needs the extra {extra}: pip install 'finetune-guard[{extra}]'")


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
        code = _code_of(error)
        if code is None:  # not ours: the command line's own parser reports what it can't read
            raise
        if debug():
            tell("".join(traceback.format_exception(error)))
        tell(f"Error: {_message_of(error)}")
        raise typer.Exit(code) from None
    finally:
        logger.removeHandler(handler)


def _code_of(error: Exception) -> ExitCode | None:
    if hasattr(error, "exit_code"):
        return None
    return ExitCode.SETUP if isinstance(error, (SetupError, GuardConfigError)) else ExitCode.FAILURE


def _message_of(error: Exception) -> str:
    if isinstance(error, KeepAliveError):
        return _attempts(error)
    if isinstance(error, (SetupError, FineTuneGuardError)):
        return str(error)
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
        discard_output()
        return unwritten(error)
    if isinstance(error, openai.APIError):  # its own wording can hold parts of a key
        return f"The API did not do what was asked: {in_short(error)}."
    reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return f"finetune-guard failed with {type(error).__name__}{reason}. Add --debug to see where."


def unwritten(error: OSError) -> str:
    """Return what to say when stdout takes no output."""
    return f"The output can't be written: {error.strerror or error}."


def _attempts(error: KeepAliveError) -> str:
    if not error.attempts:
        return str(error)
    lines = ["The keep-alive was not answered by any model."]
    lines += [f"  {model}: {why}" for model, why in error.attempts.items()]
    return "\n".join([*lines, "Name a model that answers with --model."])


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(f"Note: {record.getMessage()}")


def tell(text: str) -> None:
    """Print on stderr, without the keys, passwords and control characters that a message may hold."""
    for name in _SECRETS:
        secret = os.environ.get(name, "").strip()
        text = text.replace(secret, HIDDEN) if secret else text
    say(lines(without_secrets(text)), err=True)
