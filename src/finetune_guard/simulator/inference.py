"""Helpers of the inference endpoints, and the endpoints for completions and embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import DONE, Answer, ApiError, event, invalid, missing
from finetune_guard.simulator.organizations import Tally, Use, random_id
from finetune_guard.simulator.provider import Call

MINUTE = 60
_REASONING = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_COMPLETION_ONLY = ("babbage", "davinci", "curie", "ada")
_DEFAULT_MAX_TOKENS = 16
_DEFAULT_DIMENSIONS, _MAX_DIMENSIONS = 8, 3072


def complete(call: Call) -> Answer:
    """Complete a prompt; only models without chat support do that."""
    max_tokens = integer(call, "max_tokens", minimum=1) or _DEFAULT_MAX_TOKENS
    model = requested_model(call)
    prompt = required(call, "prompt")
    if not only_completes(model):
        raise ApiError(
            404,
            "This is a chat model and not supported in the v1/completions endpoint. "
            "Did you mean to use v1/chat/completions?",
            param="model",
        )
    output = canned.tokenize(canned.TEXT, max_tokens)
    finish = "stop" if output.is_complete else "length"
    sent, received = canned.tokens_in(prompt), len(output.tokens)
    record_inference(call, model, sent, received)
    head = {"id": random_id("cmpl-"), "object": "text_completion", "created": call.timestamp, "model": model}
    if call.body.get("stream"):
        parts = [_choice(token, None) for token in output.tokens[:-1]] + [_choice(output.tokens[-1], finish)]
        return Answer(events=(*(event({**head, "choices": [part]}) for part in parts), DONE))
    usage = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
    return Answer({**head, "choices": [_choice(output.text, finish)], "usage": usage})


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def embed(call: Call) -> Answer:
    """Return the same unit vector for each input; it does not count as an inference."""
    dimensions = integer(call, "dimensions", minimum=1, maximum=_MAX_DIMENSIONS) or _DEFAULT_DIMENSIONS
    model = requested_model(call)
    value = required(call, "input")
    inputs = value if isinstance(value, list) and value and not isinstance(value[0], int) else [value]
    vector = [1.0] + [0.0] * (dimensions - 1)
    packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
    embedding = packed if call.body.get("encoding_format") == "base64" else vector
    data = [{"object": "embedding", "index": index, "embedding": embedding} for index in range(len(inputs))]
    used = canned.tokens_in(value)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return Answer({"object": "list", "data": data, "model": model, "usage": usage})


def base_of(model_id: str) -> str:
    """Return the base of a fine-tuned model, or any other id unchanged."""
    fine_tune = FineTunedModel.parse(model_id)
    return fine_tune.base if fine_tune else model_id


def is_reasoning(model_id: str) -> bool:
    """Whether it is a reasoning model, which rejects ``max_tokens``."""
    return base_of(model_id).startswith(_REASONING)


def only_completes(model_id: str) -> bool:
    """Whether a model supports ``/completions`` and not chat completions."""
    return base_of(model_id).startswith(_COMPLETION_ONLY)


def requested_model(call: Call) -> str:
    """Return the id of the model in the body, without alias; raise an ApiError if there is no such model."""
    model = call.body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter")
    return call.provider.find_model(call.account, model, call.now)


def required(call: Call, name: str) -> Any:
    """Return a parameter, or raise an ApiError if it is missing."""
    value = call.body.get(name)
    if value is None:
        raise missing(name)
    return value


def option(call: Call, name: str) -> Mapping[str, Any]:
    """Return an object parameter, empty if it is missing; raise an ApiError for any other type."""
    value = call.body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, "expected an object")
    return value


def integer(call: Call, name: str, *, minimum: int, maximum: int = 2**63 - 1) -> int | None:
    """Return an integer parameter, None if it is missing; raise an ApiError for any other value."""
    value = call.body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(name, "expected an integer")
    if minimum <= value <= maximum:
        return value
    which, sign, bound = ("below min", ">=", minimum) if value < minimum else ("above max", "<=", maximum)
    expected = f"Expected a value {sign} {bound}, but got {value} instead."
    message = f"Invalid '{name}': integer {which}imum value. {expected}"
    raise ApiError(400, message, code=f"integer_{which.replace(' ', '_')}_value", param=name)


def record_inference(call: Call, model: str, input_tokens: int, output_tokens: int) -> None:
    """Count an inference; on a fine-tuned model it restarts the organization's window."""
    use = Use(call.timestamp - call.timestamp % MINUTE, model, call.project, call.batch)
    tally = call.account.usage.setdefault(use, Tally(call.now))
    tally.latest = max(tally.latest, call.now)
    tally.counts.update(num_model_requests=1, input_tokens=input_tokens, output_tokens=output_tokens)
    last = call.account.last_inference
    if model in call.account.models and (last is None or last < call.now):
        call.account.last_inference = call.now
