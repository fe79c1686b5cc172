"""Logs and warnings that never raise, however the program has configured them."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings

_NOT_THE_CALLER = ("finetune_guard", "openai", "contextlib", "asyncio", "anyio")
_FAILED = "finetune-guard failed; calls go on without it."


def log(level: int, message: str, *details: object) -> None:
    """Log ``message`` for the package.

    Pass text only: a logged exception would keep its frames alive, and with them a client.
    """
    with contextlib.suppress(Exception):
        logging.getLogger("finetune_guard").log(level, message, *details)


class OnceLog:
    """Logs each message once, whatever its details."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def log(self, level: int, message: str, *details: object) -> bool:
        """Log ``message`` unless that was done before; return whether it was logged now."""
        is_new = message not in self._logged
        if is_new:
            self._logged.add(message)
            log(level, message, *details)
        return is_new

    def add(self, error: BaseException, message: str = _FAILED) -> None:
        """Log ``message`` with the traceback of ``error``, unless that was done before."""
        if f"{message}\n%s" not in self._logged:
            self.log(logging.ERROR, f"{message}\n%s", "".join(traceback.format_exception(error)))


def warn_caller(warning: Warning) -> None:
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
