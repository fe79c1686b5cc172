"""Logging that never fails, whatever handlers a program has set up."""

from __future__ import annotations

import contextlib
import logging


def log(level: int, message: str, *details: object) -> None:
    """Log ``message`` for the package.

    Whatever is logged is text: an exception holds the frames that it came through, and those a client.
    """
    with contextlib.suppress(Exception):
        logging.getLogger("finetune_guard").log(level, message, *details)
