"""What the three inference endpoints have in common: checking the request, noting the inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.simulator.answers import ApiError, invalid, missing
from finetune_guard.simulator.provider import Call

_REASONING = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_COMPLETION_ONLY = ("babbage", "davinci", "curie", "ada")


def base_of(model_id: str) -> str:
    """Return the base of a fine-tuned model, and any other id as it is."""
    fine_tune = FineTunedModel.parse(model_id)
    return fine_tune.base if fine_tune else model_id


def is_reasoning(model_id: str) -> bool:
    """Whether a model thinks before it answers, and therefore refuses ``max_tokens``."""
    return base_of(model_id).startswith(_REASONING)


def only_completes(model_id: str) -> bool:
    """Whether a model answers on ``/completions`` and not in chats."""
    return base_of(model_id).startswith(_COMPLETION_ONLY)


def requested_model(call: Call) -> str:
    """Return the served id of the model that the body names.

    Raises:
        ApiError: 400 without a model, 404 for one that is not there.
    """
    model = call.body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter")
    return call.provider.find_model(call.account, model, call.now)


def required(call: Call, name: str) -> Any:
    """Return a parameter that must be there.

    Raises:
        ApiError: 400; it is not.
    """
    value = call.body.get(name)
    if value is None:
        raise missing(name)
    return value


def option(call: Call, name: str) -> Mapping[str, Any]:
    """Return a parameter that is an object, an empty one when it is left out.

    Raises:
        ApiError: 400; it is something else.
    """
    value = call.body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, "expected an object")
    return value


def count(call: Call, name: str, *, least: int, most: int = 2**63 - 1) -> int | None:
    """Return a whole-number parameter, None when it is left out.

    Raises:
        ApiError: 400; it is no integer, less than ``least`` or more than ``most``.
    """
    value = call.body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(name, "expected an integer")
    if not least <= value <= most:
        which, sign, bound = (
            ("below minimum", ">=", least) if value < least else ("above maximum", "<=", most)
        )
        raise ApiError(
            400,
            f"Invalid '{name}': integer {which} value. Expected a value {sign} {bound}, but got {value} "
            "instead.",
            code=f"integer_{'below_min' if value < least else 'above_max'}_value",
            param=name,
        )
    return value


def note(call: Call, model: str, input_tokens: int, output_tokens: int) -> None:
    """Count the inference; one on a fine-tuned model opens the organization's window again."""
    call.account.usage.add(
        model, call.project, call.now, tokens=(input_tokens, output_tokens), batch=call.batch
    )
    call.provider.note_inference(call.account, model, call.now)
