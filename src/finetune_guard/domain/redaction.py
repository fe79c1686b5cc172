"""Removal of keys and passwords from text that is shown, logged or stored."""

from __future__ import annotations

import re

HIDDEN = "***"

_WORD = re.compile(r"\S+")
_QUERY_VALUE = re.compile(r"(?<==)[^&\s]+")
_KEY = re.compile(
    r"""
      (?<![\w-])sk-[\w*-]{3,}                 # OpenAI's and most gateways', also half masked: sk-proj-12**34
    | \bAIza[\w-]{10,}                        # Google's
    | \beyJ[\w-]{10,}\.[\w-]+\.[\w-]+         # a JSON web token
    | (?i:(?<=\bbearer\s)[\w.~+/=*-]{8,})
    | (?i:                                    # whatever else is long and called a key
        (?P<called>\b(?:key|token|secret|password)(?:\s(?:provided|given|used|is|was))?\W{0,4})
        (?=[\w*+/=-]*[\d*])[\w*+/=-]{16,}
      )
    """,
    re.VERBOSE,
)


def without_secrets(text: str) -> str:
    """Return ``text`` with ``***`` for what looks like a key, and for the secret parts of URLs.

    The secret parts of a URL are the user, the password, and the values of its query. A password may hold
    any character, an ``@`` that is not escaped too, so that all before a word's last ``@`` counts as one.
    """
    return _KEY.sub(_hidden_key, _WORD.sub(_without_credentials, text))


def _hidden_key(found: re.Match[str]) -> str:
    return f"{found['called'] or ''}{HIDDEN}"


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
