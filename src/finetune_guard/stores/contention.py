"""Retries while other threads, processes or hosts are changing the same rows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import tenacity

from finetune_guard import process

_T = TypeVar("_T")
_FIRST_PAUSE = 0.005


class BusyError(Exception):
    """Another thread or process is changing the same rows."""


def retry_while_contended(
    work: Callable[[], _T],
    is_contended: Callable[[BaseException], bool],
    patience: timedelta,
    *,
    longest_pause: float,
    lock: threading.RLock | None = None,
) -> _T:
    """Call ``work`` until it stops failing with a contended error, and return its result.

    After ``patience`` the error is raised. Each retry comes after a random pause of at most ``longest_pause``
    seconds and holds ``lock``, if that could be acquired in time.
    """
    try:
        return work()
    except Exception as exc:
        if not is_contended(exc):
            raise
    with contextlib.ExitStack() as held:
        if lock is not None and lock.acquire(timeout=patience.total_seconds()):
            held.callback(lock.release)
        backoff = tenacity.wait_exponential(multiplier=_FIRST_PAUSE, max=longest_pause)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(patience.total_seconds()),
            wait=lambda retry_state: process.jitter.uniform(
                0.0, backoff(retry_state)
            ),  # so named by tenacity 8
            retry=tenacity.retry_if_exception(is_contended),
            reraise=True,
        )
        return retrying(work)
