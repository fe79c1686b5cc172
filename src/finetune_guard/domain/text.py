"""Make text from outside safe to show: printable, limited in length, without keys and passwords."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, TypeGuard

from pydantic import AfterValidator

_LONGEST = 500
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
HIDDEN = "***"
_WORD = re.compile(r"\S+")
_QUERY_VALUE = re.compile(r"(?<==)[^&\s]+")
_KEY = re.compile(
    r"""
      (?<![\w-])sk-[\w*-]{3,}                 # OpenAI's and most gateways', also half masked: sk-proj-12**34
    | \bAIza[\w-]{10,}                        # Google's
    | \beyJ[\w-]{10,}\.[\w-]+\.[\w-]+         # a JSON web token
    | (?i:(?<=\bbearer\s)[\w.~+/=*-]{8,})
    | (?i:                                    # any other long word called a key
        (?P<called>\b(?:key|token|secret|password)(?:\s(?:provided|given|used|is|was))?\W{0,4})
        (?=[\w*+/=-]*[\d*])[\w*+/=-]{16,}
      )
    """,
    re.VERBOSE,
)


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` with spaces for unprintable characters, cut to ``longest`` characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: longest * 4])
    return " ".join(shown.split())[:longest].rstrip()


def is_name(value: object, longest: int) -> TypeGuard[str]:
    """Whether ``value`` is printable text of 1 to ``longest`` characters."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()


def day_in(value: object) -> date | None:
    """Return the day in text such as ``2027-01-14``; None for anything else, such as February 30."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def lines(text: str) -> str:
    """Return ``text`` with its line breaks kept, and ``?`` for other unprintable characters."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def quoted(text: str) -> str:
    """Return ``text`` unchanged or, if it isn't printable, its ``repr``."""
    return text if text.isprintable() else repr(text)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("printable text on one line is required")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""Printable text on one line."""


def without_secrets(text: str) -> str:
    """Return ``text`` with ``***`` for anything like a key, and for a URL's user, password and query.

    A password may contain an unescaped ``@``, so everything before a word's last ``@`` is hidden.
    """
    shown = _WORD.sub(_without_credentials, text)
    return _KEY.sub(lambda found: f"{found['called'] or ''}{HIDDEN}", shown)


def _without_credentials(word: re.Match[str]) -> str:
    scheme, mark, rest = word[0].partition("://")
    if not mark:
        scheme, rest = "", word[0]
    before, at, after = rest.rpartition("@")
    if at and (mark or ":" in before):
        rest = f"{HIDDEN}@{after}"
    if not mark:
        return rest
    address, question, query = rest.partition("?")
    return f"{scheme}{mark}{address}{question}{_QUERY_VALUE.sub(HIDDEN, query)}"
