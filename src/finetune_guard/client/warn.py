"""Warnings that point at the line of the program that made the call, and that never end the call."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable

from finetune_guard.client.log import log
from finetune_guard.domain.errors import FineTuneGuardWarning

_NOT_THE_CALLER = ("finetune_guard", "openai", "contextlib", "asyncio", "anyio")


def warn_caller(warning: FineTuneGuardWarning) -> None:
    """Issue ``warning`` for the line of the program that made the call.

    Where warnings are errors, or the program's own way to show them fails, it is logged instead: a warning
    ends no call.
    """
    level, frame = 1, sys._getframe()  # noqa: SLF001 -- the only way to count frames before Python 3.12
    while frame.f_back is not None and _is_not_the_caller(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(warning, stacklevel=level)
    except Exception:  # noqa: BLE001 -- a program's own way to show warnings can fail in any way
        log(logging.WARNING, "%s", str(warning))


def warn_all(warnings_due: Iterable[FineTuneGuardWarning]) -> None:
    """Issue each of the warnings as ``warn_caller`` does."""
    for warning in warnings_due:
        warn_caller(warning)


def _is_not_the_caller(module: str) -> bool:
    return module.partition(".")[0] in _NOT_THE_CALLER
