"""What the guard says in the log while something is wrong: that a fault was felt, and how it is told."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 80


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def listening() -> Iterator[list[str]]:
    """Give the warnings that the guard logs inside."""
    listener, logger = _Listener(), logging.getLogger("finetune_guard")
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.said
    finally:
        logger.removeHandler(listener)


def summary(said: list[str]) -> str:
    """Return the first warning, without where, and how many there were."""
    if not said:
        return "nothing"
    cause = re.search(r"Could not [^:]*?(?: in '[^']*'| at \S*)?: (.*?)\. [A-Z]", said[0])
    first = cause[1] if cause else re.sub(r"'[^']*'", "the folder", said[0]).partition(". ")[0]
    first = re.sub(r": b['\"].*", "", first)  # what it was that could not be understood
    first = first if len(first) <= _LONGEST else first[:_LONGEST] + "…"
    return first if len(said) == 1 else f"{first} ({len(said)} warnings)"
