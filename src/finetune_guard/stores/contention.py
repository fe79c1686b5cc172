"""Trying again while other threads, processes or hosts are changing the same rows."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

_T = TypeVar("_T")
_FIRST_PAUSE = 0.005
# Of its own, since a program that has seeded the shared one counts on its order.
_jitter = random.Random()  # noqa: S311 -- no secret


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

    After ``patience`` the error is raised all the same. From the second call on a pause of at most
    ``longest_pause`` seconds comes before each, and ``turn`` is held if it can be had in time.
    """
    try:
        return work()
    except Exception as exc:
        if not is_contended(exc):
            raise
    with contextlib.ExitStack() as held:
        if turn is not None and turn.acquire(timeout=patience.total_seconds()):
            held.callback(turn.release)
        deadline, pause = time.monotonic() + patience.total_seconds(), _FIRST_PAUSE
        while True:
            time.sleep(_jitter.uniform(0.0, min(pause, longest_pause)))
            try:
                return work()
            except Exception as exc:
                if not is_contended(exc) or time.monotonic() >= deadline:
                    raise
            pause *= 2
