"""``POST /completions``, for the models that came before chats."""

from __future__ import annotations

from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import DONE, Answer, ApiError, event
from finetune_guard.simulator.inference import count, note, only_completes, requested_model, required
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

DEFAULT_MAX_TOKENS = 16


def create(call: Call) -> Answer:
    """Complete a prompt."""
    most = count(call, "max_tokens", least=1) or DEFAULT_MAX_TOKENS
    model = requested_model(call)
    prompt = required(call, "prompt")
    if not only_completes(model):
        raise ApiError(
            404,
            "This is a chat model and not supported in the v1/completions endpoint. "
            "Did you mean to use v1/chat/completions?",
            param="model",
        )
    tokens, whole = canned.pieces(canned.TEXT, most)
    finish = "stop" if whole else "length"
    used = canned.tokens_in(prompt)
    note(call, model, used, len(tokens))
    head = {
        "id": random_id("cmpl-"),
        "object": "text_completion",
        "created": call.timestamp,
        "model": model,
    }
    if call.body.get("stream"):
        last = len(tokens) - 1
        parts = [_choice(token, finish if at == last else None) for at, token in enumerate(tokens)]
        return Answer(events=(*(event({**head, "choices": [part]}) for part in parts), DONE))
    usage = {
        "prompt_tokens": used,
        "completion_tokens": len(tokens),
        "total_tokens": used + len(tokens),
    }
    return Answer({**head, "choices": [_choice("".join(tokens), finish)], "usage": usage})


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
