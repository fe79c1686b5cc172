"""The shutdown dates in the table of models that litellm ships. No I/O and no clock here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH
from finetune_guard.domain.text import day_in, is_name

_PROVIDERS = ("openai", "text-completion-openai")


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
        day = day_in(fields.get("deprecation_date"))
        if day is not None and is_name(name, MAX_MODEL_ID_LENGTH):
            replacement = fields.get("successor_model")
            found[name] = Row(day, replacement if is_name(replacement, MAX_MODEL_ID_LENGTH) else None)
    return found
