"""What a command prints when it fails, and the exit code that it ends with."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import openai
import typer

from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.output import discard_output, tell, unwritten
from finetune_guard.domain.errors import FineTuneGuardError, GuardConfigError, KeepAliveError
from finetune_guard.openai_api.errors import in_short

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO)


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
        return f"The API did not do what was asked: {in_short(error)}."
    reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    return f"finetune-guard failed with {type(error).__name__}{reason}. Add --debug to see where."


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(f"Note: {record.getMessage()}")
