"""Warnings that point at the line of the program that made the call."""

from __future__ import annotations

import logging
import sys
import warnings

from finetune_guard.client.log import log
from finetune_guard.domain.errors import FineTuneGuardWarning

_NOT_THE_CALLER = ("finetune_guard", "openai", "contextlib", "asyncio", "anyio")


def warn_in_passing(warning: FineTuneGuardWarning) -> None:
    """Issue ``warning``; where warnings are errors it is logged, since the call has its answer already."""
    try:
        warn_caller(warning)
    except Exception:  # noqa: BLE001 -- a program's own way to show warnings can fail in any way
        log(logging.WARNING, "%s", str(warning))


def warn_caller(warning: FineTuneGuardWarning) -> None:
    """Issue ``warning`` for the line of the program that made the call."""
    level, frame = 1, sys._getframe()  # noqa: SLF001 -- the only way to count frames before Python 3.12
    while frame.f_back is not None and _is_not_the_caller(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)


def _is_not_the_caller(module: str) -> bool:
    return module.partition(".")[0] in _NOT_THE_CALLER
