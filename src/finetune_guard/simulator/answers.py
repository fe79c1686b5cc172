"""What the API sends back: answers, and the errors with the texts and codes of the real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_guard.domain.policy import DEPRECATIONS_PAGE

TRAINING_NOT_AVAILABLE = (
    "OpenAI is winding down the fine-tuning platform and your organization is no longer able to create "
    f"new fine-tuning training jobs. Learn more {DEPRECATIONS_PAGE}"
)


@dataclass(frozen=True)
class Answer:
    """One answer: a JSON value, raw bytes, or a stream of server-sent events.

    Attributes:
        body: The JSON value; not looked at when ``raw`` or ``events`` is given.
        status: The HTTP status.
        raw: The body's bytes, for what is not JSON.
        events: The encoded server-sent events of a stream.
        headers: Headers beyond those that every answer has.
        kind: The media type, where it does not follow from the above.
        size: How long the body is where ``made`` makes it.
        made: Makes the body piece by piece while it is sent, so that it is never in memory as a whole.
    """

    body: Any = None
    status: int = 200
    raw: bytes | None = None
    events: tuple[bytes, ...] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
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

    @property
    def chunks(self) -> tuple[bytes, ...]:
        """The body as it goes over the wire, a stream's events one by one."""
        if self.events is not None:
            return self.events
        if self.made is not None:
            return tuple(self.made())
        return (self.raw if self.raw is not None else json.dumps(self.body).encode(),)


class ApiError(Exception):
    """A call that the API refuses; it knows the answer to give."""

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
        self.answer = Answer(error_body(message, code=code, param=param, kind=kind), status)


def error_body(message: str, *, code: str | None, param: str | None = None, kind: str) -> dict[str, Any]:
    """Return the body of an error answer."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def training_not_available() -> ApiError:
    """The policy's refusal."""
    return ApiError(403, TRAINING_NOT_AVAILABLE, code="training_not_available")


def forbidden(missing_scope: str | None = None) -> ApiError:
    """A key of the wrong kind; ``missing_scope`` is what a key that may would have."""
    refused = "You have insufficient permissions for this operation."
    if missing_scope is None:
        return ApiError(403, refused)
    return ApiError(403, f"{refused} Missing scopes: {missing_scope}.", code="missing_scope")


def model_not_found(model: str) -> ApiError:
    """No such model, or none that this organization can see."""
    return ApiError(
        404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
    )


def model_deprecated(model: str) -> ApiError:
    """A model that has been shut down."""
    return ApiError(
        404,
        f"The model `{model}` has been deprecated, learn more here: "
        "https://platform.openai.com/docs/deprecations",
        code="model_not_found",
    )


def model_not_available(model: str) -> ApiError:
    """A model that can't be fine-tuned."""
    return ApiError(
        400, f"Model {model} is not available for fine-tuning or does not exist.", code="model_not_available"
    )


def missing(param: str) -> ApiError:
    """A required parameter that was left out."""
    return ApiError(
        400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def invalid(param: str, why: str) -> ApiError:
    """A parameter of a wrong type or value."""
    return ApiError(400, f"Invalid '{param}': {why}.", code="invalid_value", param=param)


def not_found(what: str, param: str = "id") -> ApiError:
    """An object that does not exist or belongs to another organization."""
    return ApiError(404, what, param=param)


def event(data: Mapping[str, Any], *, named: bool = False) -> bytes:
    """Encode one server-sent event; ``named`` puts its ``type`` in an ``event:`` line too."""
    name = f"event: {data['type']}\n" if named else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


DONE = b"data: [DONE]\n\n"
