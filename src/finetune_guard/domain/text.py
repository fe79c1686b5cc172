"""Text that came from outside, made fit to be shown: printable, on one line, and not endless.

What isn't printable to ``str.isprintable`` can move a terminal's cursor, turn the direction of writing,
begin a line of its own in a log, or be text that no encoding can write down.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, TypeGuard

from pydantic import AfterValidator

_LONGEST = 500
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` with a space for whatever can't be printed, cut to ``longest`` characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: longest * 4])
    return " ".join(shown.split())[:longest].rstrip()


def is_name(value: object, longest: int) -> TypeGuard[str]:
    """Whether ``value`` is printable text of 1 to ``longest`` characters."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def day_in(value: object) -> date | None:
    """Return the day that text such as ``2027-01-14`` names; None for anything else, such as February 30."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def lines(text: str) -> str:
    """Return ``text`` with its line breaks as they are, and ``?`` for whatever else can't be printed."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def quoted(text: str) -> str:
    """Return ``text`` as it is or, if it isn't printable, as Python writes it."""
    return text if text.isprintable() else repr(text)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("printable text on one line is required")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""Text that can be printed on one line."""
