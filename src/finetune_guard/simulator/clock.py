"""The simulator's clock, its only source of the time."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

from finetune_guard.domain.policy import aware_utc


class SimulatedClock:
    """A callable that returns the simulated time, an aware UTC datetime.

    It stands still until it is set, unless it is ``running``. Every method may be called from
    any thread.

    Args:
        now: The initial time; the real time if omitted.
        running: Whether the clock runs on from the time that was set.
        speed: Simulated seconds per real second of a running clock; more than zero.

    Raises:
        ValueError: ``now`` has no time zone, or ``speed`` is not positive.
    """

    def __init__(self, now: datetime | None = None, *, running: bool = False, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be more than zero, not {speed!r}; running=False stops the clock")
        self._lock = threading.Lock()
        self._speed = speed if running else 0.0
        self._time_set = aware_utc(now if now is not None else datetime.now(timezone.utc))
        self._set_at = time.monotonic()

    def __call__(self) -> datetime:
        """Return the simulated time."""
        with self._lock:
            return self._read()

    def set(self, now: datetime) -> None:
        """Set the clock to ``now``, forward or back.

        Raises:
            ValueError: ``now`` has no time zone.
        """
        now = aware_utc(now)
        with self._lock:
            self._time_set, self._set_at = now, time.monotonic()

    def advance(self, by: timedelta) -> datetime:
        """Move the clock forward by ``by``, or back if that is negative, and return the new time."""
        with self._lock:
            self._time_set, self._set_at = self._read() + by, time.monotonic()
            return self._time_set

    def _read(self) -> datetime:
        if not self._speed:
            return self._time_set
        return self._time_set + timedelta(seconds=(time.monotonic() - self._set_at) * self._speed)
