"""Warnings that never raise, however the program has configured them."""

from __future__ import annotations

import logging
import sys
import warnings

from finetune_guard.domain.errors import FineTuneGuardWarning
from finetune_guard.logs import log

_NOT_THE_CALLER = ("finetune_guard", "openai", "contextlib", "asyncio", "anyio")


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
