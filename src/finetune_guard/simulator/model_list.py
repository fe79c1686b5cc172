"""``/models``: the models of an organization and their shutdown dates."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from finetune_guard.simulator.answers import Answer, forbidden, model_not_found
from finetune_guard.simulator.provider import ALIASES, Call

_BASE_MODELS_CREATED = int(datetime(2025, 1, 1, tzinfo=timezone.utc).timestamp())


def list_all(call: Call) -> Answer:
    """List the available base models and the organization's own models."""
    known = (*call.provider.base_models(), *call.account.models)
    alive = [_body(call, model) for model in known if not call.provider.is_shut_down(model, call.now)]
    return Answer({"object": "list", "data": alive})


def retrieve(call: Call) -> Answer:
    """Return one model."""
    model_id = call.params["model"]
    call.provider.find_model(call.account, model_id, call.now)
    return Answer(_body(call, model_id))


def delete(call: Call) -> Answer:
    """Delete one of the organization's fine-tuned models."""
    model_id = call.params["model"]
    if call.account.models.pop(model_id, None) is None:
        if model_id in call.provider.base_models():
            raise forbidden()
        raise model_not_found(model_id)
    return Answer({"id": model_id, "object": "model", "deleted": True})


def _body(call: Call, model_id: str) -> dict[str, Any]:
    owned = call.account.models.get(model_id)
    body: dict[str, Any] = {
        "id": model_id,
        "object": "model",
        "created": int(owned.timestamp()) if owned else _BASE_MODELS_CREATED,
        "owned_by": call.account.organization.slug if owned else "system",
    }
    if owned is None or call.provider.settings.fine_tunes_carry_shutdown_date:
        day = call.provider.settings.catalog.shutdown_of(ALIASES.get(model_id, model_id))
        body["shutdown_date"] = day.isoformat() if day else None
    return body
