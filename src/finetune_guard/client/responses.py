"""Reading the body of a response if the SDK has read it already."""

from __future__ import annotations

import re
from typing import Any

from finetune_guard.openai_api.completions import (
    Recognizer,
    completing_model,
    fields_of,
    fine_tuned_id,
    model_in,
)

_MODEL_FIELD = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')
_OUTPUT_FIELD = re.compile(rb'"(?:choices|output)"\s*:\s*\[\s*\{')
_UNFINISHED = re.compile(rb'"status"\s*:\s*"(?:queued|in_progress)"')


def body_if_read(response: Any) -> object:
    """Return the JSON body of a response that the SDK has read to its end; None of any other.

    What was read and is no JSON is returned as an empty text.
    """
    if not _is_read(response):
        return None
    try:
        return response.json()
    except RuntimeError:  # it was streamed to the program
        return None
    except ValueError:
        return ""


def model_shown(
    value: object, response: Any, requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Return the fine-tuned model that an answer shows to have run; None if it shows none.

    What the SDK has parsed tells it. Where a program parses for itself, the body does if it was read;
    otherwise the content type is all there is, and the model that was asked for is believed.

    Args:
        value: What the SDK made of the response; None where it failed.
        response: The response of httpx or httpx2.
        requested: The fine-tuned model that was asked for; None when the request named none.
        recognize: As for ``completing_model``.
    """
    fields = fields_of(value)
    if fields is not None and ("choices" in fields or "output" in fields or fields is value):
        return model_in(fields, requested, recognize)
    if not _is_read(response):
        return requested if requested is not None and _may_hold_completion(response.headers) else None
    content = response.content
    if requested is None and not _may_name_fine_tune(content):
        return None
    if requested and _is_plainly_completion(content, requested):
        return requested
    return completing_model(body_if_read(response), requested, recognize)


def _is_read(response: Any) -> bool:
    return getattr(response, "is_stream_consumed", False) is True


def _may_hold_completion(headers: Any) -> bool:
    kind = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    return kind.endswith("json") or kind == "text/event-stream"


def _is_plainly_completion(content: object, model: str) -> bool:
    """Whether a body shows a completion of ``model`` without being parsed: the program will do that.

    A quotation mark inside of a text has a backslash before it, so only a field can look like one.
    """
    return (
        isinstance(content, bytes)
        and set(_MODEL_FIELD.findall(content)) == {model.encode()}
        and _OUTPUT_FIELD.search(content) is not None
        and _UNFINISHED.search(content) is None
    )


def _may_name_fine_tune(content: object) -> bool:
    """Whether it is worth parsing a body a second time, which takes longer than this search."""
    return isinstance(content, bytes) and any(part in content for part in (b"ft:", b":ft-", b".ft-"))
