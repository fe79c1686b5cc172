"""The table of shutdown dates that ships with the package; it is read when first asked for."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from finetune_guard.domain.model_ids import base_of


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
