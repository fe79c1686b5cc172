"""``POST /responses``, plain and streamed."""

from __future__ import annotations

from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import Answer, ApiError, event, tokens_used
from finetune_guard.simulator.inference import (
    integer,
    only_completes,
    option,
    record_inference,
    requested_model,
    required,
)
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

_MIN_OUTPUT_TOKENS = 16
_ITEM_INDEX = {"output_index": 0}


def create(call: Call) -> Answer:
    """Create a response."""
    max_tokens = integer(call, "max_output_tokens", minimum=_MIN_OUTPUT_TOKENS)
    text_format = option(call, "text").get("format")
    model = requested_model(call)
    prompt = required(call, "input")
    if only_completes(model):
        message = f"The model `{model}` is not supported in the v1/responses endpoint."
        raise ApiError(404, message, param="model")
    output = canned.output_for(call.body, max_tokens, text_format, "text.format")
    status = "completed" if output.is_complete else "incomplete"
    sent, received = canned.tokens_in(prompt), len(output.tokens)
    record_inference(call, model, sent, received)
    item, item_events = (_message if output.function is None else _function_call)(output, status)
    started = _started(call, model, text_format)
    response = {
        **started,
        "status": status,
        "incomplete_details": None if output.is_complete else {"reason": "max_output_tokens"},
        "output": [item],
        "usage": tokens_used(sent, received),
    }
    if not call.body.get("stream"):
        return Answer(response)
    events = (
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
        *item_events,
        {"type": "response.output_item.done", **_ITEM_INDEX, "item": item},
        {"type": f"response.{status}", "response": response},
    )
    numbered = enumerate(events)
    return Answer(
        events=tuple(event({**each, "sequence_number": number}, with_type=True) for number, each in numbered)
    )


def _message(output: canned.Output, status: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a message as an output item, and its stream events."""

    def part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    head = {"id": random_id("msg_"), "type": "message", "role": "assistant"}
    at = {"item_id": head["id"], **_ITEM_INDEX, "content_index": 0}
    started = {**head, "status": "in_progress", "content": []}
    return {**head, "status": status, "content": [part(output.text)]}, [
        {"type": "response.output_item.added", **_ITEM_INDEX, "item": started},
        {"type": "response.content_part.added", **at, "part": part("")},
        *(
            {"type": "response.output_text.delta", **at, "delta": token, "logprobs": []}
            for token in output.tokens
        ),
        {"type": "response.output_text.done", **at, "text": output.text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part(output.text)},
    ]


def _function_call(output: canned.Output, status: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a function call as an output item, and its stream events."""
    head = {"id": random_id("fc_"), "type": "function_call", "name": output.function}
    head["call_id"] = random_id("call_")
    at, kind = {"item_id": head["id"], **_ITEM_INDEX}, "response.function_call_arguments"
    started = {**head, "status": "in_progress", "arguments": ""}
    return {**head, "status": status, "arguments": output.text}, [
        {"type": "response.output_item.added", **_ITEM_INDEX, "item": started},
        *({"type": f"{kind}.delta", **at, "delta": token} for token in output.tokens),
        {"type": f"{kind}.done", **at, "name": output.function, "arguments": output.text},
    ]


def _started(call: Call, model: str, text_format: Any) -> dict[str, Any]:
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
