"""``POST /responses``, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as numbers
from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import Answer, ApiError, event
from finetune_guard.simulator.inference import (
    count,
    note,
    only_completes,
    option,
    requested_model,
    required,
)
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

LEAST_OUTPUT_TOKENS = 16
_AT_ITEM = {"output_index": 0}


def create(call: Call) -> Answer:
    """Answer an input."""
    most = count(call, "max_output_tokens", least=LEAST_OUTPUT_TOKENS)
    text_format = option(call, "text").get("format")
    model = requested_model(call)
    prompt = required(call, "input")
    if only_completes(model):
        raise ApiError(
            404, f"The model `{model}` is not supported in the v1/responses endpoint.", param="model"
        )
    function = canned.forced_function(call.body.get("tools"), call.body.get("tool_choice"))
    words = canned.arguments_for(function) if function else canned.text_for(text_format, "text.format")
    tokens, whole = canned.pieces(words, most)
    status = "completed" if whole else "incomplete"
    item: _Message | _FunctionCall = (
        _FunctionCall(tokens, status, random_id("fc_"), str(function.get("name")), random_id("call_"))
        if function
        else _Message(tokens, status, random_id("msg_"))
    )
    sent = canned.tokens_in(prompt)
    note(call, model, sent, len(tokens))
    begun = _begun(call, model, text_format)
    ended = {
        **begun,
        "status": status,
        "incomplete_details": None if whole else {"reason": "max_output_tokens"},
        "output": [item.body],
        "usage": _usage(sent, len(tokens)),
    }
    if not call.body.get("stream"):
        return Answer(ended)
    sequence = numbers()
    told = (
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *item.events,
        {"type": f"response.{status}", "response": ended},
    )
    return Answer(
        events=tuple(event({**data, "sequence_number": next(sequence)}, named=True) for data in told)
    )


@dataclass(frozen=True)
class _Message:
    """An output item that talks."""

    tokens: list[str]
    status: str
    id: str

    @property
    def body(self) -> dict[str, Any]:
        return self._body(self.status, [self._part("".join(self.tokens))])

    @property
    def events(self) -> Iterator[dict[str, Any]]:
        at_part = {"item_id": self.id, **_AT_ITEM, "content_index": 0}
        text = "".join(self.tokens)
        yield {"type": "response.output_item.added", **_AT_ITEM, "item": self._body("in_progress", [])}
        yield {"type": "response.content_part.added", **at_part, "part": self._part("")}
        for token in self.tokens:
            yield {"type": "response.output_text.delta", **at_part, "delta": token, "logprobs": []}
        yield {"type": "response.output_text.done", **at_part, "text": text, "logprobs": []}
        yield {"type": "response.content_part.done", **at_part, "part": self._part(text)}
        yield {"type": "response.output_item.done", **_AT_ITEM, "item": self.body}

    def _body(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    @staticmethod
    def _part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


@dataclass(frozen=True)
class _FunctionCall:
    """An output item that calls a function, where the caller left no choice."""

    tokens: list[str]
    status: str
    id: str
    name: str
    call_id: str

    @property
    def body(self) -> dict[str, Any]:
        return self._body(self.status, "".join(self.tokens))

    @property
    def events(self) -> Iterator[dict[str, Any]]:
        at_item = {"item_id": self.id, **_AT_ITEM}
        arguments = "".join(self.tokens)
        kind = "response.function_call_arguments"
        yield {"type": "response.output_item.added", **_AT_ITEM, "item": self._body("in_progress", "")}
        for token in self.tokens:
            yield {"type": f"{kind}.delta", **at_item, "delta": token}
        yield {"type": f"{kind}.done", **at_item, "name": self.name, "arguments": arguments}
        yield {"type": "response.output_item.done", **_AT_ITEM, "item": self.body}

    def _body(self, status: str, arguments: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": arguments,
        }


def _begun(call: Call, model: str, text_format: Any) -> dict[str, Any]:
    body = call.body
    return {
        "id": random_id("resp_"),
        "object": "response",
        "created_at": call.timestamp,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": body.get("max_output_tokens"),
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": text_format or {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def _usage(prompt: int, output: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + output,
    }
