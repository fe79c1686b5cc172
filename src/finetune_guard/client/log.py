"""Logs and warnings that never raise, however the program has configured them."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings

from finetune_guard.domain.errors import FineTuneGuardWarning

_NOT_THE_CALLER = ("finetune_guard", "openai", "contextlib", "asyncio", "anyio")


def log(level: int, message: str, *details: object) -> None:
    """Log ``message`` for the package.

    Pass text only: a logged exception would keep its frames alive, and with them a client.
    """
    with contextlib.suppress(Exception):
        logging.getLogger("finetune_guard").log(level, message, *details)


class FailureLog:
    """Logs only the first of our own errors."""

    def __init__(self) -> None:
        self._has_logged = False

    def add(self, error: Exception) -> None:
        """Log ``error`` with its traceback, if it is the first one."""
        if not self._has_logged:
            self._has_logged = True
            text = "".join(traceback.format_exception(error))
            log(logging.ERROR, "finetune-guard failed; calls go on without it.\n%s", text)


def warn_caller(warning: FineTuneGuardWarning) -> None:
    """Issue ``warning`` for the line of the program that made the call.

    If warnings are errors, or the program's own hook fails, it is logged instead: a warning must not
    end a call.
    """
    level, frame = 1, sys._getframe()  # noqa: SLF001 -- the only way to count frames before Python 3.12
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(warning, stacklevel=level)
    except Exception:  # noqa: BLE001 -- a program's own hook can raise anything
        log(logging.WARNING, "%s", str(warning))
