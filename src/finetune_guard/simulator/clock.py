"""A clock that can be turned: the simulator's only source of the time."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

from finetune_guard.domain.policy import aware_utc


class SimulatedClock:
    """A callable that returns the simulated time, an aware UTC datetime.

    It stands still until it is turned, unless it is ``running``. Every method may be called from
    any thread.

    Args:
        now: The time to begin with; the real time when left out.
        running: Whether the clock ticks on from the moment it was set.
        speed: Simulated seconds for one real second of a running clock; more than zero.

    Raises:
        ValueError: ``now`` has no time zone, or ``speed`` is not positive.
    """

    def __init__(self, now: datetime | None = None, *, running: bool = False, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be more than zero, not {speed!r}; running=False stops the clock")
        self._lock = threading.Lock()
        self._speed = speed if running else 0.0
        self._set_to = aware_utc(now if now is not None else datetime.now(timezone.utc))
        self._set_when = time.monotonic()

    def __call__(self) -> datetime:
        """Return the simulated time."""
        with self._lock:
            return self._read()

    def set(self, now: datetime) -> None:
        """Turn the clock to ``now``, forward or back.

        Raises:
            ValueError: ``now`` has no time zone.
        """
        now = aware_utc(now)
        with self._lock:
            self._set_to, self._set_when = now, time.monotonic()

    def advance(self, by: timedelta) -> datetime:
        """Turn the clock on by ``by`` and return the new time; a negative one turns it back."""
        with self._lock:
            self._set_to, self._set_when = self._read() + by, time.monotonic()
            return self._set_to

    def _read(self) -> datetime:
        if not self._speed:
            return self._set_to
        return self._set_to + timedelta(seconds=(time.monotonic() - self._set_when) * self._speed)
