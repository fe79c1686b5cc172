"""What the inference endpoints have in common, and the two older ones: completions and embeddings."""

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
_DEFAULT_DIMENSIONS, _MOST_DIMENSIONS = 8, 3072


def complete(call: Call) -> Answer:
    """Complete a prompt, with the models that came before chats."""
    most = count(call, "max_tokens", least=1) or _DEFAULT_MAX_TOKENS
    model = requested_model(call)
    prompt = required(call, "prompt")
    if not only_completes(model):
        raise ApiError(
            404,
            "This is a chat model and not supported in the v1/completions endpoint. "
            "Did you mean to use v1/chat/completions?",
            param="model",
        )
    said = canned.cut(canned.TEXT, most)
    finish = "stop" if said.whole else "length"
    sent, received = canned.tokens_in(prompt), len(said.tokens)
    note(call, model, sent, received)
    head = {"id": random_id("cmpl-"), "object": "text_completion", "created": call.timestamp, "model": model}
    if call.body.get("stream"):
        parts = [_choice(token, None) for token in said.tokens[:-1]] + [_choice(said.tokens[-1], finish)]
        return Answer(events=(*(event({**head, "choices": [part]}) for part in parts), DONE))
    usage = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
    return Answer({**head, "choices": [_choice(said.text, finish)], "usage": usage})


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def embed(call: Call) -> Answer:
    """Answer each input with the same unit vector; that is no inference on a fine-tuned model."""
    dimensions = count(call, "dimensions", least=1, most=_MOST_DIMENSIONS) or _DEFAULT_DIMENSIONS
    model = requested_model(call)
    given = required(call, "input")
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    vector = [1.0] + [0.0] * (dimensions - 1)
    packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
    embedding = packed if call.body.get("encoding_format") == "base64" else vector
    data = [{"object": "embedding", "index": index, "embedding": embedding} for index in range(len(inputs))]
    used = canned.tokens_in(given)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return Answer({"object": "list", "data": data, "model": model, "usage": usage})


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
    """Return the served id of the model that the body names; an ApiError without one that is there."""
    model = call.body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter")
    return call.provider.find_model(call.account, model, call.now)


def required(call: Call, name: str) -> Any:
    """Return a parameter; an ApiError without it."""
    value = call.body.get(name)
    if value is None:
        raise missing(name)
    return value


def option(call: Call, name: str) -> Mapping[str, Any]:
    """Return a parameter that is an object, an empty one when it is left out; an ApiError for any other."""
    value = call.body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, "expected an object")
    return value


def count(call: Call, name: str, *, least: int, most: int = 2**63 - 1) -> int | None:
    """Return a whole-number parameter, None when it is left out; an ApiError for any other."""
    value = call.body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(name, "expected an integer")
    if least <= value <= most:
        return value
    which, sign, bound = ("below min", ">=", least) if value < least else ("above max", "<=", most)
    expected = f"Expected a value {sign} {bound}, but got {value} instead."
    message = f"Invalid '{name}': integer {which}imum value. {expected}"
    raise ApiError(400, message, code=f"integer_{which.replace(' ', '_')}_value", param=name)


def note(call: Call, model: str, input_tokens: int, output_tokens: int) -> None:
    """Count the inference; one on a fine-tuned model opens the organization's window again."""
    use = Use(call.timestamp - call.timestamp % MINUTE, model, call.project, call.batch)
    tally = call.account.usage.setdefault(use, Tally(call.now))
    tally.latest = max(tally.latest, call.now)
    tally.counts.update(num_model_requests=1, input_tokens=input_tokens, output_tokens=output_tokens)
    last = call.account.last_inference
    if model in call.account.models and (last is None or last < call.now):
        call.account.last_inference = call.now
