"""``POST /chat/completions``, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import DONE, Answer, ApiError, event
from finetune_guard.simulator.inference import (
    count,
    is_reasoning,
    note,
    only_completes,
    option,
    requested_model,
    required,
)
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

MOST_CHOICES = 128


@dataclass(frozen=True)
class _Said:
    """What the model says: words, or the arguments of a function that it was told to call."""

    tokens: list[str]
    finish: str
    function: str | None

    @property
    def message(self) -> dict[str, Any]:
        text = "".join(self.tokens)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if self.function is None:
            return message
        return {**message, "content": None, "tool_calls": [_tool_call(self.function, text)]}

    @property
    def deltas(self) -> Iterator[dict[str, Any]]:
        begun = {"role": "assistant", "content": "", "refusal": None}
        if self.function is None:
            yield begun
            for token in self.tokens:
                yield {"content": token}
            return
        yield {**begun, "content": None, "tool_calls": [{"index": 0, **_tool_call(self.function, "")}]}
        for token in self.tokens:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}


def create(call: Call) -> Answer:
    """Answer a chat."""
    most = count(call, "max_completion_tokens", least=1)
    older = count(call, "max_tokens", least=1)
    choices = count(call, "n", least=1, most=MOST_CHOICES) or 1
    with_usage = bool(option(call, "stream_options").get("include_usage"))
    model = requested_model(call)
    messages = required(call, "messages")
    _check_model(model, older)
    said = _said(call, most if most is not None else older)
    sent, received = canned.tokens_in(messages), len(said.tokens) * choices
    note(call, model, sent, received)
    head = {
        "id": random_id("chatcmpl-"),
        "created": call.timestamp,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    usage = _usage(sent, received)
    if call.body.get("stream"):
        chunks = _chunks(head, said, choices, usage if with_usage else None)
        return Answer(events=(*(event(chunk) for chunk in chunks), DONE))
    answered = [
        {"index": index, "message": said.message, "logprobs": None, "finish_reason": said.finish}
        for index in range(choices)
    ]
    return Answer({**head, "object": "chat.completion", "choices": answered, "usage": usage})


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


def _said(call: Call, most: int | None) -> _Said:
    choice = call.body.get("tool_choice")
    function = canned.forced_function(call.body.get("tools"), choice)
    if function is None:
        tokens, whole = canned.pieces(
            canned.text_for(call.body.get("response_format"), "response_format"), most
        )
        return _Said(tokens, "stop" if whole else "length", None)
    tokens, whole = canned.pieces(canned.arguments_for(function), most)
    # The API says "stop" when the caller named the function, "tool_calls" when the model picked it.
    done = "tool_calls" if choice == "required" else "stop"
    return _Said(tokens, done if whole else "length", str(function.get("name")))


def _tool_call(name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": random_id("call_"),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _chunks(
    head: dict[str, Any], said: _Said, choices: int, usage: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        unknown_yet = {"usage": None} if usage else {}
        return {**head, "object": "chat.completion.chunk", "choices": [choice], **unknown_yet}

    for delta in said.deltas:
        for index in range(choices):
            yield chunk(index, delta)
    for index in range(choices):
        yield chunk(index, {}, said.finish)
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
