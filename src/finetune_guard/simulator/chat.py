"""``POST /chat/completions``, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import DONE, Answer, ApiError, event
from finetune_guard.simulator.inference import (
    integer,
    is_reasoning,
    only_completes,
    option,
    record_inference,
    requested_model,
    required,
)
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

_MAX_CHOICES = 128


def create(call: Call) -> Answer:
    """Create a chat completion."""
    max_tokens = integer(call, "max_completion_tokens", minimum=1)
    older_limit = integer(call, "max_tokens", minimum=1)
    choices = integer(call, "n", minimum=1, maximum=_MAX_CHOICES) or 1
    with_usage = bool(option(call, "stream_options").get("include_usage"))
    model = requested_model(call)
    messages = required(call, "messages")
    _check_model(model, older_limit)
    text_format = call.body.get("response_format")
    output = canned.output_for(
        call.body, max_tokens if max_tokens is not None else older_limit, text_format, "response_format"
    )
    # The API says "stop" when the caller named the function, "tool_calls" when the model picked it.
    picked = output.function is not None and call.body.get("tool_choice") == "required"
    finish = ("tool_calls" if picked else "stop") if output.is_complete else "length"
    sent, received = canned.tokens_in(messages), len(output.tokens) * choices
    record_inference(call, model, sent, received)
    head = {
        "id": random_id("chatcmpl-"),
        "created": call.timestamp,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    usage = _usage(sent, received)
    if call.body.get("stream"):
        chunks = _chunks(head, output, finish, choices, usage if with_usage else None)
        return Answer(events=(*(event(chunk) for chunk in chunks), DONE))
    answers = [
        {"index": index, "message": _message(output), "logprobs": None, "finish_reason": finish}
        for index in range(choices)
    ]
    return Answer({**head, "object": "chat.completion", "choices": answers, "usage": usage})


def _check_model(model: str, max_tokens: int | None) -> None:
    if only_completes(model):
        raise ApiError(
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            param="model",
        )
    if max_tokens is not None and is_reasoning(model):
        raise ApiError(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
            param="max_tokens",
        )


def _message(output: canned.Output) -> dict[str, Any]:
    body: dict[str, Any] = {"role": "assistant", "content": output.text, "refusal": None, "annotations": []}
    if output.function is None:
        return body
    return {**body, "content": None, "tool_calls": [_tool_call(output.function, output.text)]}


def _tool_call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": random_id("call_"), "type": "function", "function": {"name": name, "arguments": arguments}}


def _deltas(output: canned.Output) -> Iterator[dict[str, Any]]:
    first = {"role": "assistant", "content": "", "refusal": None}
    if output.function is None:
        yield first
        yield from ({"content": token} for token in output.tokens)
        return
    yield {**first, "content": None, "tool_calls": [{"index": 0, **_tool_call(output.function, "")}]}
    for token in output.tokens:
        yield {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}


def _chunks(
    head: dict[str, Any], output: canned.Output, finish: str, choices: int, usage: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    chunk = {**head, "object": "chat.completion.chunk"}
    null_usage = {"usage": None} if usage else {}
    for delta, reason in (*((delta, None) for delta in _deltas(output)), ({}, finish)):
        for index in range(choices):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield {**chunk, "choices": [choice], **null_usage}
    if usage:
        yield {**chunk, "choices": [], "usage": usage}


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
