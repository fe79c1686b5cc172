"""Fine-tuned models: their ids, and when they are shut down.

No I/O and no clock here, but for the table of shutdown dates that ships with the package and is
read when first asked for.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from finetune_guard.words import Word

MAX_MODEL_ID_LENGTH = 512
"""Longer ids are not looked at: no published form comes near it, and nothing unbounded is kept."""

EXAMPLE_ID = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
"""What a fine-tuned model's id looks like, for messages."""


class ModelForm(Word):
    """The shapes that the id of a fine-tuned model can have."""

    FINE_TUNE = "fine_tune"
    CHECKPOINT = "checkpoint"
    LEGACY = "legacy"
    AZURE = "azure"


_FINE_TUNE = re.compile(
    r"ft:(?P<base>[^:\s]+):(?P<organization>[^:\s]*):(?P<suffix>[^:\s]*):(?P<job>[^:\s]+)"
    r"(?::ckpt-step-(?P<step>[0-9]{1,18}))?"
)
_SHORT = re.compile(r"ft:(?P<base>[^:\s]+)(?::(?P<organization>[^:\s]*))?(?::(?P<suffix>[^:\s]*))?")
_LEGACY = re.compile(r"(?P<base>[^:\s]+):ft-(?P<job>[^:\s]+)")
_AZURE = re.compile(r"(?P<base>[^:\s]+)\.ft-(?P<job>[0-9a-f]+)(?:-[^:\s]*)?")
_PATTERNS = (
    (ModelForm.FINE_TUNE, _FINE_TUNE),
    (ModelForm.FINE_TUNE, _SHORT),
    (ModelForm.LEGACY, _LEGACY),
    (ModelForm.AZURE, _AZURE),
)


class FineTunedModel(BaseModel):
    """A fine-tuned model, read from its id.

    Attributes:
        id: The whole id.
        form: Which of the published shapes the id has.
        base: The base model.
        organization: The organization's part of an ``ft:`` id; None in other forms.
        suffix: The suffix that the user gave; None where there is none.
        step: The step of a checkpoint; None for other models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    form: ModelForm
    base: str
    organization: str | None = None
    suffix: str | None = None
    step: int | None = None

    @classmethod
    def parse(cls, model_id: object) -> FineTunedModel | None:
        """Return the model that ``model_id`` names, or None when it is not a fine-tuned model.

        An ``ft:`` id with parts missing still counts as one; white space and control characters
        never do.
        """
        if not isinstance(model_id, str) or "ft" not in model_id or len(model_id) > MAX_MODEL_ID_LENGTH:
            return None
        return _parse(model_id)


@lru_cache(maxsize=1024)
def _parse(model_id: str) -> FineTunedModel | None:
    if not model_id.isprintable():
        return None
    for form, pattern in _PATTERNS:
        if match := pattern.fullmatch(model_id):
            parts = match.groupdict()
            step = parts.get("step")
            return FineTunedModel(
                id=model_id,
                form=ModelForm.CHECKPOINT if step else form,
                base=parts["base"],
                organization=parts.get("organization") or None,
                suffix=parts.get("suffix") or None,
                step=int(step) if step else None,
            )
    return None


def base_of(model_id: str) -> str:
    """Return the base model of a fine-tune, and any other id as it is."""
    fine_tune = FineTunedModel.parse(model_id)
    return fine_tune.base if fine_tune is not None else model_id


class Lifetime(BaseModel):
    """One row of the table: a base model that can be fine-tuned, and when it and its fine-tunes end.

    Attributes:
        id: The whole name of the base model.
        shutdown: The day on which the base model itself is shut down.
        fine_tunes_shutdown: The day on which its fine-tunes are.
        replacement: The model that the provider recommends instead; None where it names none.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    shutdown: date
    fine_tunes_shutdown: date
    replacement: str | None = None


class ModelCatalog(BaseModel):
    """The published shutdown dates of the base models that can be fine-tuned, and of their fine-tunes.

    Dates are whole days without a zone and differ by a day between publications: treat each as
    that day give or take one.

    Attributes:
        as_of: The day on which the table was last compared with its source.
        source: Where the provider published it.
        base_models: The rows.
    """

    model_config = ConfigDict(frozen=True)

    as_of: date
    source: str
    base_models: tuple[Lifetime, ...]

    def lifetime_of(self, base: str) -> Lifetime | None:
        """Return the row of a base model, found by its whole name; None when it has none."""
        return next((row for row in self.base_models if row.id == base), None)

    def shutdown_of(self, model_id: str) -> date | None:
        """Return the day ``model_id`` is shut down, a fine-tune's own or a base's; None if unknown."""
        base = base_of(model_id)
        row = self.lifetime_of(base)
        if row is None:
            return None
        return row.shutdown if base == model_id else row.fine_tunes_shutdown


@lru_cache(maxsize=1)
def published_catalog() -> ModelCatalog:
    """Return the catalog that ships with the package."""
    return ModelCatalog.model_validate_json(
        files("finetune_guard").joinpath("data/models.json").read_text(encoding="utf-8")
    )
