"""The answers of the simulated API, and its errors with OpenAI's texts and codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_guard.domain.policy import DEPRECATIONS_PAGE

TRAINING_NOT_AVAILABLE = (
    "OpenAI is winding down the fine-tuning platform and your organization is no longer able to create "
    f"new fine-tuning training jobs. Learn more {DEPRECATIONS_PAGE}"
)
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Answer:
    """One answer: a JSON value, raw bytes, or a stream of server-sent events.

    Attributes:
        body: The JSON value; ignored if there is another kind of body.
        status: The HTTP status.
        raw: The body's bytes, if it is not JSON.
        events: The encoded server-sent events of a stream.
        kind: The media type, if it does not follow from the body.
        size: The body's length in bytes, if ``made`` makes it.
        made: Makes the body in chunks while it is sent, so that it is never in memory as a whole.
    """

    body: Any = None
    status: int = 200
    raw: bytes | None = None
    events: tuple[bytes, ...] | None = None
    kind: str | None = None
    size: int = 0
    made: Callable[[], Iterator[bytes]] | None = None

    @property
    def media_type(self) -> str:
        """The value of the Content-Type header."""
        if self.kind is not None:
            return self.kind
        if self.events is not None:
            return "text/event-stream; charset=utf-8"
        return "application/json" if self.raw is None and self.made is None else "application/octet-stream"

    def chunks(self) -> Iterator[bytes]:
        """Return the body in the chunks in which it is sent: one for each event of a stream."""
        if self.made is not None:
            return self.made()
        if self.events is not None:
            return iter(self.events)
        return iter((self.raw if self.raw is not None else json.dumps(self.body).encode(),))


class ApiError(Exception):
    """An error of the API, with its ``answer``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        error = {"message": message, "type": kind, "param": param, "code": code}
        self.answer = Answer({"error": error}, status)


def forbidden(missing_scope: str | None = None) -> ApiError:
    """Return the error for a key of the wrong kind; ``missing_scope`` is the scope that it lacks."""
    refused = "You have insufficient permissions for this operation."
    if missing_scope is None:
        return ApiError(403, refused)
    return ApiError(403, f"{refused} Missing scopes: {missing_scope}.", code="missing_scope")


def model_not_found(model: str, why: str = "does not exist or you do not have access to it.") -> ApiError:
    """Return the error for a model that does not exist for this organization, or no longer exists."""
    return ApiError(404, f"The model `{model}` {why}", code="model_not_found")


def missing(param: str) -> ApiError:
    """Return the error for a required parameter that was left out."""
    message = f"Missing required parameter: '{param}'."
    return ApiError(400, message, code="missing_required_parameter", param=param)


def invalid(param: str, why: str) -> ApiError:
    """Return the error for a parameter of a wrong type or value."""
    return ApiError(400, f"Invalid '{param}': {why}.", code="invalid_value", param=param)


def event(data: Mapping[str, Any], *, with_type: bool = False) -> bytes:
    """Encode one server-sent event; ``with_type`` puts its ``type`` in an ``event:`` line too."""
    name = f"event: {data['type']}\n" if with_type else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def page(
    items: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, default: int, maximum: int
) -> Answer:
    """Return the page of ``items`` that ``limit`` and ``after`` in ``query`` select.

    Raises:
        ApiError: 400; ``limit`` is not a number from 1 to ``maximum``, or ``after`` is not the id of an item.
    """
    text = query.get("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= maximum:
        raise invalid("limit", f"expected an integer from 1 to {maximum}")
    start = 0
    if after := query.get("after"):
        ids = [item["id"] for item in items]
        if after not in ids:
            raise invalid("after", "no such object")
        start = ids.index(after) + 1
    data = items[start : start + int(text)]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    has_more = start + int(text) < len(items)
    return Answer({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more})


def tokens_used(sent: int, received: int) -> dict[str, Any]:
    """Return the ``usage`` of a response or a batch."""
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": received,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sent + received,
    }


def unix_time(at: datetime | None) -> int | None:
    """Return a time in Unix seconds."""
    return int(at.timestamp()) if at is not None else None
