"""Output that any terminal or pipe can show."""

from __future__ import annotations

import codecs
import io
import sys

_IN_ASCII = str.maketrans(
    {
        "“": '"',
        "”": '"',
        "…": "~",
        "—": "-",
        "·": ".",
        "─": "-",
        "━": "=",
        "┼": "+",
        "●": "o",
        "○": "x",
        "▼": "V",
        "■": "#",
        "▶": ">",
        "▁": ".",
        "▂": ":",
        "▃": "-",
        "▄": "=",
        "▅": "+",
        "▆": "*",
        "▇": "%",
        "█": "@",
        "✓": "+",
        "→": ">",
        "±": "+/-",
    }
)
_HANDLER = "finetune_guard.cli"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end].translate(_IN_ASCII)
    return "".join(char if char.isascii() else "?" for char in unknown), error.end


codecs.register_error(_HANDLER, _replaced)


def make_printable() -> None:
    """Let characters that stdout and stderr can't encode come out as the nearest ASCII ones."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)
