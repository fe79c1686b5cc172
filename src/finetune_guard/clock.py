"""How the time is read, and how far the ``Date`` of a server's answers is believed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

_EARLIEST = datetime(2020, 1, 1, tzinfo=timezone.utc)
_MOST_AT_ONCE = timedelta(days=7)
_NOISE = timedelta(minutes=1)
_JITTER = timedelta(seconds=5)
_LONGEST_DATE = 64

_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: f"{number:02}" for number, name in enumerate(_NAMES, start=1)}
# The format of RFC 9110 that servers have to use; reading it alone is several times faster.
_IMF_FIXDATE = re.compile(
    rf"[A-Z][a-z]{{2}}, (\d\d) ({'|'.join(_MONTHS)}) (\d{{4}}) (\d\d:\d\d:\d\d) GMT", re.ASCII
)


def system_clock() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(timezone.utc)


def countdown(duration: timedelta) -> Callable[[], timedelta]:
    """Return a function that tells how much of ``duration`` is left, whatever becomes of the clock."""
    ends = time.monotonic() + duration.total_seconds()
    return lambda: timedelta(seconds=ends - time.monotonic())


class ServerTime:
    """How far the local clock is off, as the ``Date`` of the API's answers tells.

    * A ``Date`` within a minute of the time believed so far is believed. So is the first one, up to a week.
    * Another one is believed if it ran on since an earlier answer as the local clock did, or as ``elapsed``
      did: then the local clock was set.
    * One that contradicts both the local clock and earlier answers, such as one from a cache, is not
      believed: the local clock counts until answers agree again.
    * While that can't be told, the earlier of the two times counts: what is remembered may be older than it
      is said to be, never newer.

    Attributes:
        offset: What is to be added to the local clock.
        has_answered: Whether there was any answer, with a ``Date`` or without one.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self.offset = timedelta(0)
        self.has_answered = False
        self._elapsed = elapsed
        self._doubted: tuple[datetime, datetime] | None = None
        """An answer's date that was not believed, and the local time of its arrival."""
        self._reference: tuple[datetime, float] | None = None
        """The last date that was believed, and the seconds since the machine was started at its arrival."""

    def answered_at(self, date_header: str | bytes | None, now: datetime) -> datetime:
        """Return when a response was given, and learn from its ``Date``."""
        self.has_answered = True
        header = date_header[:_LONGEST_DATE] if date_header is not None else ""
        date = _parsed(header) if header else None
        if date is None or date < _EARLIEST:
            return now
        if not -_NOISE <= date - now <= _NOISE:
            return self._weighed(date, now - self.offset)
        self._reference = date, self._elapsed()
        return date

    def _weighed(self, date: datetime, local: datetime) -> datetime:
        off = date - local
        is_first = self._reference is None and self._doubted is None
        is_near = abs(off) <= _NOISE or (is_first and abs(off) <= _MOST_AT_ONCE)
        ran_on = self._ran_on(date, local)
        if is_near or ran_on or self._local_was_set(date):
            self.offset = off if abs(off) > _NOISE else timedelta(0)
            self._doubted = None
            self._reference = date, self._elapsed()
            return date
        self.offset = timedelta(0)
        return min(date, local) if ran_on is None else local

    def _ran_on(self, date: datetime, local: datetime) -> bool | None:
        """Whether both clocks ran on alike since a doubted answer; None if it is too soon to tell."""
        before = self._doubted
        if before is None:
            self._doubted = date, local
            return None
        passed = local - before[1]
        if abs(date - before[0] - passed) > _JITTER:
            self._doubted = date, local
            return False
        return True if date - before[0] > _JITTER else None

    def _local_was_set(self, date: datetime) -> bool:
        """Whether the server's clock ran on since the last answer that was believed."""
        if self._reference is None:
            return False
        believed, seconds = self._reference
        return abs(date - believed - timedelta(seconds=self._elapsed() - seconds)) <= _NOISE


def _parsed(date_header: str | bytes) -> datetime | None:
    text = date_header if isinstance(date_header, str) else date_header.decode("latin-1")
    usual = _IMF_FIXDATE.fullmatch(text)
    try:
        if usual is not None:
            day, month, year, time_of_day = usual.groups()
            return datetime.fromisoformat(f"{year}-{_MONTHS[month]}-{day}T{time_of_day}+00:00")
        date = parsedate_to_datetime(text)
        return date.astimezone(timezone.utc) if date.tzinfo else date.replace(tzinfo=timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
