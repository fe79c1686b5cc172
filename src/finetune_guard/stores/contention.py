"""Trying again while other threads, processes or hosts are changing the same rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from finetune_guard import process

_T = TypeVar("_T")


class BusyError(Exception):
    """Somebody else is changing what was to be read or changed."""


def repeated(
    work: Callable[[], _T],
    is_contended: Callable[[BaseException], bool],
    patience: timedelta,
    *,
    longest_pause: float,
    turn: threading.RLock | None = None,
) -> _T:
    """Return what ``work`` returns, which is called again while it fails with a contended error.

    Args:
        work: What is called, without any lock.
        is_contended: Tells whether trying again a little later may help.
        patience: After how long the error is raised all the same.
        longest_pause: How many seconds are waited between two calls at most.
        turn: A lock that is held, if it can be had in time, from the second call on.
    """
    try:
        return work()
    except Exception as exc:
        if not is_contended(exc):
            raise
    with process.no_fork:
        import tenacity  # noqa: PLC0415 (needed in this rare case only)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(patience.total_seconds()),
        wait=tenacity.wait_random_exponential(multiplier=0.005, max=longest_pause),
        retry=tenacity.retry_if_exception(is_contended),
        reraise=True,
    ).wraps(work)
    is_held = turn is not None and turn.acquire(timeout=patience.total_seconds())
    try:
        return retrying()
    finally:
        if turn is not None and is_held:
            turn.release()
