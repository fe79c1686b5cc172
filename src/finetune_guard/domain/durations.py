"""Durations as people write them in environment variables and options."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WRITTEN = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*([smhdw])")
_ALLOWED = "a time longer than zero is required, such as 14d, 12h, 30m, ISO 8601 text or a timedelta"


def _read(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        if match := _WRITTEN.fullmatch(value.strip().lower()):
            return timedelta(**{_UNITS[match[2]]: float(match[1])})
        if value.strip()[:1] in ("P", "p"):
            return value.strip().upper()
    raise ValueError(_ALLOWED)


def _checked(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError(_ALLOWED)
    return duration


Duration = Annotated[timedelta, BeforeValidator(_read), AfterValidator(_checked)]
"""A timedelta longer than zero, also given as ``14d`` or as ISO 8601 text."""
