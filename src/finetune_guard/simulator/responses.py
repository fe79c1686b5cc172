"""``POST /responses``, plain and streamed."""

from __future__ import annotations

from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import Answer, ApiError, event, tokens_used
from finetune_guard.simulator.inference import count, note, only_completes, option, requested_model, required
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

_LEAST_OUTPUT_TOKENS = 16
_AT_ITEM = {"output_index": 0}


def create(call: Call) -> Answer:
    """Answer an input."""
    most = count(call, "max_output_tokens", least=_LEAST_OUTPUT_TOKENS)
    text_format = option(call, "text").get("format")
    model = requested_model(call)
    prompt = required(call, "input")
    if only_completes(model):
        message = f"The model `{model}` is not supported in the v1/responses endpoint."
        raise ApiError(404, message, param="model")
    said = canned.said_to(call.body, most, text_format, "text.format")
    status = "completed" if said.whole else "incomplete"
    sent, received = canned.tokens_in(prompt), len(said.tokens)
    note(call, model, sent, received)
    item, told = (_message if said.function is None else _function_call)(said, status)
    begun = _begun(call, model, text_format)
    ended = {
        **begun,
        "status": status,
        "incomplete_details": None if said.whole else {"reason": "max_output_tokens"},
        "output": [item],
        "usage": tokens_used(sent, received),
    }
    if not call.body.get("stream"):
        return Answer(ended)
    events = (
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *told,
        {"type": "response.output_item.done", **_AT_ITEM, "item": item},
        {"type": f"response.{status}", "response": ended},
    )
    numbered = enumerate(events)
    return Answer(
        events=tuple(event({**each, "sequence_number": number}, named=True) for number, each in numbered)
    )


def _message(said: canned.Said, status: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an output item that talks, and the events of its stream."""

    def part(text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    head = {"id": random_id("msg_"), "type": "message", "role": "assistant"}
    at = {"item_id": head["id"], **_AT_ITEM, "content_index": 0}
    begun = {**head, "status": "in_progress", "content": []}
    return {**head, "status": status, "content": [part(said.text)]}, [
        {"type": "response.output_item.added", **_AT_ITEM, "item": begun},
        {"type": "response.content_part.added", **at, "part": part("")},
        *(
            {"type": "response.output_text.delta", **at, "delta": token, "logprobs": []}
            for token in said.tokens
        ),
        {"type": "response.output_text.done", **at, "text": said.text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part(said.text)},
    ]


def _function_call(said: canned.Said, status: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an output item that calls a function, where the caller left no choice, and its events."""
    head = {"id": random_id("fc_"), "type": "function_call", "name": said.function}
    head["call_id"] = random_id("call_")
    at, kind = {"item_id": head["id"], **_AT_ITEM}, "response.function_call_arguments"
    begun = {**head, "status": "in_progress", "arguments": ""}
    return {**head, "status": status, "arguments": said.text}, [
        {"type": "response.output_item.added", **_AT_ITEM, "item": begun},
        *({"type": f"{kind}.delta", **at, "delta": token} for token in said.tokens),
        {"type": f"{kind}.done", **at, "name": said.function, "arguments": said.text},
    ]


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
