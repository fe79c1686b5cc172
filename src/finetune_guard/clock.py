"""The only places where the time is read, and how far a server's word about it is believed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache

_EARLIEST = datetime(2020, 1, 1, tzinfo=timezone.utc)
_MOST_AHEAD = timedelta(days=1)
_LONGEST_DATE = 64

_MONTHS = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
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


def answered_at(date_header: str | bytes | None, now: datetime) -> datetime:
    """Return when a response was given: the server's ``Date`` when it is sane, else ``now``.

    A ``Date`` before 2020, or more than a day ahead of ``now``, is not sane. One that lies behind is
    believed: evidence then is older than it might be, never newer.
    """
    date = _parsed(date_header[:_LONGEST_DATE]) if date_header is not None else None
    if date is None or date < _EARLIEST or date - now > _MOST_AHEAD:
        return now
    return date


def answered_within_a_day(date: datetime, now: datetime) -> datetime:
    """Return ``date`` as the time of an answer that has just arrived; ``now`` where it is far from that.

    A server or gateway whose ``Date`` stands still would otherwise make each keep-alive count for nothing.
    """
    return date if abs(now - date) <= _MOST_AHEAD else now


@lru_cache(maxsize=16)
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
