"""Faults that a test can add to the simulator's answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from finetune_guard.simulator.answers import TRAINING_NOT_AVAILABLE, Answer, ApiError

JOBS = "/v1/fine_tuning/jobs"
SPARE_CURSOR = "page_spare"
"""The cursor of a usage page that does not exist."""


class UsageFlaw(BaseModel):
    """A flaw in a page of usage.

    Attributes:
        leaves_out: The buckets that are missing: those without results, all, or those at some positions,
            where -1 is the last one.
        spare_cursor: Whether the last page announces another one, which is empty.
        null_models: Whether the results have no model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    leaves_out: Literal["empty", "all"] | tuple[int, ...] = ()
    spare_cursor: bool = False
    null_models: bool = False

    def spoil(self, page: dict[str, Any]) -> dict[str, Any]:
        """Return ``page`` with the flaw."""
        buckets = list(page["data"])
        if self.leaves_out == "empty":
            buckets = [bucket for bucket in buckets if bucket["results"]]
        elif self.leaves_out == "all":
            buckets = []
        else:
            missing = {position % max(len(buckets), 1) for position in self.leaves_out}
            buckets = [bucket for number, bucket in enumerate(buckets) if number not in missing]
        if self.null_models:
            buckets = [
                {**bucket, "results": [{**result, "model": None} for result in bucket["results"]]}
                for bucket in buckets
            ]
        if self.spare_cursor and not page["has_more"]:
            return {**page, "data": buckets, "has_more": True, "next_page": SPARE_CURSOR}
        return {**page, "data": buckets}


class Fault(BaseModel):
    """A fault in the calls of one path.

    A fault that gives ``status``, ``body``, ``code`` or ``message`` answers instead of the API: the call
    has no effect, and an inference does not count. One that only gives ``delay``, ``headers``,
    ``cut_after``, ``malformed`` or ``usage`` changes the real answer: the call has its effect.
    One that gives none of these answers 500.

    Attributes:
        path: The path of the calls, including ``/v1``; a ``*`` at the end matches anything.
        method: The HTTP method; ``*`` for any.
        model: Only calls that name this model.
        status: The HTTP status of the answer; 500 if another field makes it an error.
        times: How many calls it hits; None until the faults are cleared.
        body: The body of the answer: a JSON value, or a string that is sent unchanged.
        headers: Headers to add to the answer.
        delay: Real seconds to wait first.
        cut_after: The number of bytes of a body, or events of a stream, after which the connection is closed.
        malformed: Whether to send truncated JSON in a complete body.
        usage: The flaw in the real answer, if that is a page of usage.
        code: ``error.code`` of the answer.
        message: ``error.message`` of the answer.
        kind: ``error.type`` of the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(pattern=r"^(/|\*$)")]
    method: str = "POST"
    model: str | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    times: Annotated[int, Field(ge=1)] | None = 1
    body: Any = None
    headers: Mapping[str, str] = Field(default_factory=dict)
    delay: Annotated[float, Field(ge=0)] = 0.0
    cut_after: Annotated[int, Field(ge=0)] | None = None
    malformed: bool = False
    usage: UsageFlaw | None = None
    code: str | None = None
    message: str | None = None
    kind: str | None = None

    @model_validator(mode="after")
    def _malformed_excludes_body(self) -> Fault:
        if self.malformed and self.body is not None:
            raise ValueError("malformed truncates the real body: give either malformed or body")
        return self

    @classmethod
    def rate_limited(cls, *, retry_after: float = 1.0, path: str = "/v1/*", **fields: Any) -> Fault:
        """429 ``rate_limit_exceeded`` with a ``Retry-After`` header in seconds."""
        fields.setdefault("method", "*")
        headers = {"retry-after": f"{retry_after:g}", "retry-after-ms": f"{retry_after * 1000:g}"}
        error: Any = {"code": "rate_limit_exceeded", "message": "Rate limit reached for requests."}
        return cls(path=path, status=429, kind="requests", headers=headers, **error, **fields)

    @classmethod
    def insufficient_quota(cls, *, path: str = "/v1/*", **fields: Any) -> Fault:
        """429 ``insufficient_quota``: no credit left."""
        fields.setdefault("method", "*")
        message = "You exceeded your current quota, please check your plan and billing details."
        code = "insufficient_quota"
        return cls(path=path, status=429, code=code, kind=code, message=message, **fields)

    @classmethod
    def billing_hard_limit(cls, *, path: str = "/v1/*", **fields: Any) -> Fault:
        """400 ``billing_hard_limit_reached``."""
        fields.setdefault("method", "*")
        message = "Billing hard limit has been reached."
        return cls(path=path, status=400, code="billing_hard_limit_reached", message=message, **fields)

    @classmethod
    def unauthorized(cls, *, path: str = "/v1/*", **fields: Any) -> Fault:
        """401 ``invalid_api_key``."""
        fields.setdefault("method", "*")
        message = "Incorrect API key provided."
        return cls(path=path, status=401, code="invalid_api_key", message=message, **fields)

    @classmethod
    def training_not_available(cls, *, path: str = JOBS, **fields: Any) -> Fault:
        """403 ``training_not_available``: the policy's refusal, regardless of the policy."""
        code = "training_not_available"
        return cls(path=path, status=403, code=code, message=TRAINING_NOT_AVAILABLE, **fields)

    @classmethod
    def scaling_up(cls, *, path: str = "/v1/*", **fields: Any) -> Fault:
        """503 ``DEPLOYMENT_SCALING_UP``: a Fireworks deployment that was scaled to zero is starting again."""
        message = "Deployment is currently scaled to zero and is scaling up."
        return cls(path=path, status=503, code="DEPLOYMENT_SCALING_UP", message=message, **fields)

    def hits(self, method: str, path: str, model: str | None) -> bool:
        """Whether the fault applies to such a call."""
        if self.method not in {"*", method} or self.model not in {None, model}:
            return False
        return path.startswith(self.path[:-1]) if self.path.endswith("*") else path == self.path

    @property
    def answer(self) -> Answer | None:
        """The answer to send instead of the API's; None if the API answers."""
        error_fields = (self.status, self.body, self.code, self.message, self.kind)
        has_effects = self.delay or self.headers or self.malformed or self.usage or self.cut_after is not None
        if has_effects and all(value is None for value in error_fields):
            return None
        status = self.status or 500
        if isinstance(self.body, str):
            return Answer(raw=self.body.encode(), status=status)
        if self.body is not None or status < HTTPStatus.BAD_REQUEST:
            return Answer(self.body, status)
        is_server_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        kind = self.kind or ("server_error" if is_server_error else "invalid_request_error")
        message = self.message or f"The simulator was asked to answer {status}."
        return ApiError(status, message, code=self.code, kind=kind).answer


class FaultQueue:
    """The faults that are not used up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        """Add ``fault``, after earlier ones that apply to the same call."""
        with self._lock:
            self._pending.append((fault, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._pending.clear()

    def take(self, method: str, path: str, model: str | None) -> Fault | None:
        """Return the first fault that applies to this call, and count its use."""
        with self._lock:
            for position, (fault, remaining) in enumerate(self._pending):
                if not fault.hits(method, path, model):
                    continue
                if remaining == 1:
                    del self._pending[position]
                elif remaining is not None:
                    self._pending[position] = (fault, remaining - 1)
                return fault
            return None
