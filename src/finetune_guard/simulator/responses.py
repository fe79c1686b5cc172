"""``POST /responses``, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as numbers
from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import Answer, ApiError, event
from finetune_guard.simulator.inference import count, note, only_completes, requested_model, required
from finetune_guard.simulator.organizations import random_id
from finetune_guard.simulator.provider import Call

LEAST_OUTPUT_TOKENS = 16


def create(call: Call) -> Answer:
    """Answer an input."""
    most = count(call, "max_output_tokens", least=LEAST_OUTPUT_TOKENS)
    model = requested_model(call)
    prompt = required(call, "input")
    if only_completes(model):
        raise ApiError(
            404, f"The model `{model}` is not supported in the v1/responses endpoint.", param="model"
        )
    text_format = (call.body.get("text") or {}).get("format")
    tokens, whole = canned.pieces(canned.text_for(text_format), most)
    note(call, model)
    begun = _begun(call, model)
    item = _message(random_id("msg_"), "".join(tokens), "completed" if whole else "incomplete")
    ended = {
        **begun,
        "status": "completed" if whole else "incomplete",
        "incomplete_details": None if whole else {"reason": "max_output_tokens"},
        "output": [item],
        "usage": _usage(canned.tokens_in(prompt), len(tokens)),
    }
    if not call.body.get("stream"):
        return Answer(ended)
    sequence = numbers()
    return Answer(
        events=tuple(
            event({**data, "sequence_number": next(sequence)}, named=True)
            for data in _events(begun, item, tokens, ended)
        )
    )


def _begun(call: Call, model: str) -> dict[str, Any]:
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
        "text": {"format": (body.get("text") or {}).get("format") or {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def _message(item_id: str, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(
    begun: dict[str, Any], item: dict[str, Any], tokens: list[str], ended: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    at_item = {"output_index": 0}
    at_part = {"item_id": item["id"], **at_item, "content_index": 0}
    text = "".join(tokens)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {
        "type": "response.output_item.added",
        **at_item,
        "item": _message(item["id"], None, "in_progress"),
    }
    yield {"type": "response.content_part.added", **at_part, "part": _part("")}
    for token in tokens:
        yield {"type": "response.output_text.delta", **at_part, "delta": token, "logprobs": []}
    yield {"type": "response.output_text.done", **at_part, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **at_part, "part": _part(text)}
    yield {"type": "response.output_item.done", **at_item, "item": item}
    yield {"type": f"response.{ended['status']}", "response": ended}


def _usage(prompt: int, output: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + output,
    }
