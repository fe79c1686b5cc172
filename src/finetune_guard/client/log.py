"""Logging that never fails, whatever handlers a program has set up."""

from __future__ import annotations

import contextlib
import logging
import traceback


def log(level: int, message: str, *details: object) -> None:
    """Log ``message`` for the package.

    Whatever is logged is text: an exception holds the frames that it came through, and those a client.
    """
    with contextlib.suppress(Exception):
        logging.getLogger("finetune_guard").log(level, message, *details)


class FailureLog:
    """Logs the first failure of our own parts, and no later one."""

    def __init__(self) -> None:
        self._has_logged = False

    def add(self, error: Exception) -> None:
        """Log ``error`` with its traceback, if it is the first one."""
        if not self._has_logged:
            self._has_logged = True
            text = "".join(traceback.format_exception(error))
            log(logging.ERROR, "finetune-guard failed; calls go on without it.\n%s", text)
