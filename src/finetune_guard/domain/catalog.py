"""Tables of published dates: OpenAI's shutdowns, those in litellm, and Azure's retirements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Literal, NamedTuple

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, base_of
from finetune_guard.domain.text import day_in, is_name
from finetune_guard.domain.values import Value

_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")
"""The end of a dated name: ``-2024-07-18`` or ``-0613``."""


def undated(model_id: str) -> str:
    """Return a model's name without the date at its end, which is its alias."""
    return _DATE.sub("", model_id)


class Lifetime(Value):
    """A base model that can be fine-tuned: its end, that of its fine-tunes, and its replacement."""

    id: str
    shutdown: date
    fine_tunes_shutdown: date
    replacement: str | None = None


class ModelCatalog(Value):
    """The published ends of the base models that can be fine-tuned, and of their fine-tunes.

    Dates are whole days without a zone, differ by one between publications, and were last compared with
    their ``source`` on the day ``as_of``.
    """

    as_of: date
    source: str
    base_models: tuple[Lifetime, ...]

    def lifetime_of(self, base: str) -> Lifetime | None:
        """Return the row of a base model, found by its full name or an alias; None if there is none.

        An alias such as ``gpt-4o-mini`` is the name without its date. Which of several dated models it
        stands for is not published, so the latest days count, and a replacement only if all have the same.
        """
        rows = self.versions_of(base) or [row for row in self.base_models if row.id == base]
        if not rows:
            return None
        replacements = {row.replacement for row in rows}
        return Lifetime(
            id=base,
            shutdown=max(row.shutdown for row in rows),
            fine_tunes_shutdown=max(row.fine_tunes_shutdown for row in rows),
            replacement=replacements.pop() if len(replacements) == 1 else None,
        )

    def versions_of(self, alias: str) -> list[Lifetime]:
        """Return the rows of the dated models that ``alias`` may stand for; none for a full name."""
        return [row for row in self.base_models if row.id != alias and undated(row.id) == alias]

    def can_be_fine_tuned(self, model_id: str) -> bool | None:
        """Return whether fine-tuning is or was offered for a model or its base; None if unknown.

        The published replacements without a row of their own can't be fine-tuned.
        """
        base = base_of(model_id)
        if self.lifetime_of(base) is not None:
            return True
        return False if any(row.replacement == base for row in self.base_models) else None

    def shutdown_of(self, model_id: str) -> date | None:
        """Return the day ``model_id`` is shut down, a fine-tune's own or a base's; None if unknown."""
        base = base_of(model_id)
        row = self.lifetime_of(base)
        if row is None:
            return None
        return row.shutdown if base == model_id else row.fine_tunes_shutdown


# In Python, since a frozen program may lack the package's data files. Each row has the base model, its last
# day, that of its fine-tunes, and the published replacement.
_ROWS = (
    ("gpt-4o-2024-08-06", "2027-01-14", "2027-01-14", "gpt-6-luna"),
    ("gpt-4o-2024-11-20", "2027-01-14", "2027-01-14", "gpt-6-luna"),
    ("gpt-4o-mini-2024-07-18", "2027-01-14", "2027-01-14", "gpt-6-luna"),
    ("gpt-4.1-2025-04-14", "2027-01-14", "2027-01-14", "gpt-6-luna"),
    ("gpt-4.1-mini-2025-04-14", "2027-01-14", "2027-01-14", "gpt-6-luna"),
    ("gpt-4.1-nano-2025-04-14", "2026-10-23", "2026-10-23", "gpt-5.6-luna"),
    ("o4-mini-2025-04-16", "2026-10-23", "2026-10-23", "gpt-5.6-terra"),
    ("gpt-4-0613", "2026-10-23", "2026-10-23", "gpt-5.6-sol"),
    ("gpt-3.5-turbo-0125", "2026-10-23", "2026-10-23", "gpt-5.6-terra"),
    ("gpt-3.5-turbo-1106", "2026-09-28", "2026-10-23", "gpt-5.6-terra"),
    ("gpt-3.5-turbo-0613", "2024-09-13", "2026-10-23", "gpt-5.6-terra"),
    ("babbage-002", "2026-09-28", "2026-10-23", "gpt-5.6-terra"),
    ("davinci-002", "2026-09-28", "2026-10-23", "gpt-5.6-terra"),
)


@lru_cache(maxsize=1)
def published_catalog() -> ModelCatalog:
    """Return the catalog that ships with the package."""
    return ModelCatalog(
        as_of=date(2026, 11, 22),
        source="https://developers.openai.com/api/docs/deprecations",
        base_models=tuple(
            Lifetime.model_validate(dict(zip(Lifetime.model_fields, row, strict=True))) for row in _ROWS
        ),
    )


_PROVIDERS = ("openai", "text-completion-openai")


class Row(NamedTuple):
    """A model in litellm's table: its last day, and its replacement, if any."""

    day: date
    replacement: str | None


def rows_of(table: object) -> dict[str, Row]:
    """Return OpenAI's dated models in litellm's table; ``ft:BASE`` stands for the fine-tunes of a base.

    The table is the JSON of ``model_prices_and_context_window_backup.json``. Rows of other providers and
    malformed rows are skipped.
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


class PublishedDate(Value):
    """A day that a provider has published, without a zone: the end is on it, or no earlier."""

    day: date
    kind: Literal["on", "no_earlier_than"]


class Retirement(Value):
    """When training and deployments of a base model's fine-tunes retire on Azure, with the source."""

    base: str
    training: PublishedDate
    deployments: PublishedDate
    source: str = "Foundry's model retirement schedule"
    as_of: date = date(2026, 9, 2)


# Base model: the earliest day on which training ends, and the last day of its fine-tunes' deployments.
_RETIREMENTS = {
    "gpt-4.1-2025-04-14": (date(2027, 4, 14), date(2027, 10, 14)),
    "gpt-4.1-mini-2025-04-14": (date(2027, 4, 14), date(2027, 10, 14)),
    "gpt-4.1-nano-2025-04-14": (date(2027, 4, 14), date(2027, 10, 14)),
    "gpt-4o-2024-08-06": (date(2027, 4, 1), date(2027, 10, 1)),
    "gpt-4o-mini-2024-07-18": (date(2027, 4, 1), date(2027, 10, 1)),
    "o4-mini-2025-04-16": (date(2027, 4, 16), date(2027, 10, 16)),
}


def azure_retirement_of(model: str | None) -> Retirement | None:
    """Return when a fine-tune retires on Azure, by its id or its base's; None if unknown."""
    base = base_of(model or "")
    if base not in _RETIREMENTS:
        return None
    training, deployments = _RETIREMENTS[base]
    return Retirement(
        base=base,
        training=PublishedDate(day=training, kind="no_earlier_than"),
        deployments=PublishedDate(day=deployments, kind="on"),
    )
