"""``POST /chat/completions``, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import DONE, Answer, ApiError, event
from finetune_guard.simulator.inference import (
    count,
    is_reasoning,
    note,
    only_completes,
    requested_model,
    required,
)
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call


def create(call: Call) -> Answer:
    """Answer a chat."""
    most = count(call, "max_completion_tokens", least=1)
    older = count(call, "max_tokens", least=1)
    choices = count(call, "n", least=1) or 1
    model = requested_model(call)
    messages = required(call, "messages")
    if only_completes(model):
        raise ApiError(
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            param="model",
        )
    if older is not None and is_reasoning(model):
        raise ApiError(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
            param="max_tokens",
        )
    tokens, whole = canned.pieces(
        canned.text_for(call.body.get("response_format")), most if most is not None else older
    )
    finish = "stop" if whole else "length"
    note(call, model)
    head = {
        "id": random_id("chatcmpl-"),
        "created": call.timestamp,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    usage = _usage(canned.tokens_in(messages), len(tokens) * choices)
    if call.body.get("stream"):
        with_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
        chunks = _chunks(head, tokens, finish, choices, usage if with_usage else None)
        return Answer(events=(*(event(chunk) for chunk in chunks), DONE))
    return Answer(
        {
            **head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": index,
                    "message": {
                        "role": "assistant",
                        "content": "".join(tokens),
                        "refusal": None,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": finish,
                }
                for index in range(choices)
            ],
            "usage": usage,
        }
    )


def _chunks(
    head: dict[str, Any], tokens: list[str], finish: str, choices: int, usage: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        unknown_yet = {"usage": None} if usage else {}
        return {**head, "object": "chat.completion.chunk", "choices": [choice], **unknown_yet}

    for index in range(choices):
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
    for token in tokens:
        for index in range(choices):
            yield chunk(index, {"content": token})
    for index in range(choices):
        yield chunk(index, {}, finish)
    if usage:
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
