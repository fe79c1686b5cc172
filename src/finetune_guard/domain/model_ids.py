"""Fine-tuned models and their ids."""

from __future__ import annotations

import re
from functools import lru_cache

from finetune_guard.domain.values import StrEnum, Value

MAX_MODEL_ID_LENGTH = 512
"""Longer ids are ignored: no published form comes near this length."""

EXAMPLE_ID = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
"""An example of a fine-tuned model's id, for messages."""


class ModelForm(StrEnum):
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


class FineTunedModel(Value):
    """A fine-tuned model, read from its id.

    Attributes:
        organization: The organization's part of an ``ft:`` id; None in other forms.
        suffix: The suffix that the user gave; None if there is none.
        step: The step of a checkpoint; None for other models.
    """

    id: str
    form: ModelForm
    base: str
    organization: str | None = None
    suffix: str | None = None
    step: int | None = None

    @classmethod
    def parse(cls, model_id: object) -> FineTunedModel | None:
        """Return the model that ``model_id`` names, or None when it is not a fine-tuned model.

        An ``ft:`` id with parts missing still counts as one; white space and control characters never do.
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
    """Return the base model of a fine-tune; any other id unchanged."""
    fine_tune = FineTunedModel.parse(model_id)
    return fine_tune.base if fine_tune is not None else model_id
