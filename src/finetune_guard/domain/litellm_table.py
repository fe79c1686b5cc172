"""The shutdown dates in the table of models that litellm ships. No I/O and no clock here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH

_PROVIDERS = ("openai", "text-completion-openai")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Row(NamedTuple):
    """What the table says about one model.

    Attributes:
        day: The day on which it is shut down.
        replacement: What is recommended instead; None where nothing is.
    """

    day: date
    replacement: str | None


def rows_of(table: object) -> dict[str, Row]:
    """Return the dated models of OpenAI; those that are called ``ft:BASE`` are the fine-tunes of a base.

    Rows of other providers, and whatever is malformed, are passed over.

    Args:
        table: The JSON of ``model_prices_and_context_window_backup.json``, whatever it is.
    """
    found: dict[str, Row] = {}
    for name, fields in table.items() if isinstance(table, Mapping) else ():
        if not isinstance(fields, Mapping) or fields.get("litellm_provider") not in _PROVIDERS:
            continue
        day = _day(fields.get("deprecation_date"))
        if day is not None and _is_name(name):
            replacement = fields.get("successor_model")
            found[name] = Row(day, replacement if _is_name(replacement) else None)
    return found


def _day(stated: object) -> date | None:
    if not isinstance(stated, str) or not _DAY.fullmatch(stated):
        return None
    try:
        return date.fromisoformat(stated)
    except ValueError:  # such as February 30
        return None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_MODEL_ID_LENGTH and value.isprintable()
