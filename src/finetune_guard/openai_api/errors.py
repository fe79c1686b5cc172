"""Meaning of the API's errors, by status and code, never by their wording."""

from __future__ import annotations

from collections.abc import Mapping

import openai

from finetune_guard.domain.organizations import organization_slug
from finetune_guard.domain.text import is_name, one_line, without_secrets

TRAINING_NOT_AVAILABLE = "training_not_available"
"""The code of the policy's refusal; it comes with status 403."""

_LONGEST_CODE = 64
_LONGEST_MESSAGE = 500
_MOST_READ = 2_000  # longer than the result, so that a key is not cut before it is found
_NEVER_SENT = frozenset(
    {"ConnectError", "ConnectTimeout", "InvalidURL", "LocalProtocolError", "PoolTimeout", "ProxyError"}
    | {"UnsupportedProtocol"}
)
"""Errors of the HTTP libraries before a request is sent; by name, since there are two libraries."""
_MODEL_STATUSES = frozenset({400, 403, 404, 422})
_TIMED_OUT = 408
_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


def error_code(error: openai.APIError) -> str | None:
    """Return the API's error code; the body holds it bare or inside ``error``, by SDK release.

    The SDK accepts any JSON. A value that is not a string, too long, or a key is ignored.
    """
    codes: tuple[object, ...] = (error.code, _details(error).get("code"))
    code = next((code for code in codes if isinstance(code, str) and code), None)
    return code if is_name(code, _LONGEST_CODE) and code == without_secrets(code) else None


def error_message(error: openai.APIError) -> str:
    """Return the API's message: one printable line without keys, at most 500 characters."""
    message = _details(error).get("message")
    if not isinstance(message, str):
        return ""
    return one_line(without_secrets(one_line(message, _MOST_READ)), _LONGEST_MESSAGE)


def organization_named(error: openai.APIError) -> str | None:
    """Return the slug of the organization that the answer names; None if it names none."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    return organization_slug(headers.get("openai-organization"))


def is_refusal(error: openai.APIError) -> bool:
    """Whether the API refused a job by its policy, not by quota, permission or model."""
    return isinstance(error, openai.PermissionDeniedError) and error_code(error) == TRAINING_NOT_AVAILABLE


def was_never_sent(error: BaseException | None) -> bool:
    """Whether a request can't have arrived: no connection was made, or the request was invalid."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
    return any(kind.__name__ in _NEVER_SENT for kind in type(cause).__mro__)


def would_fail_alike(error: BaseException | None) -> bool:
    """Whether the user's own call must fail in the same way: bad key, or no connection."""
    return isinstance(error, openai.AuthenticationError) or was_never_sent(error)


def concerns_model(error: openai.APIError) -> bool:
    """Whether another model may work although this one gave ``error``."""
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    return status in _MODEL_STATUSES and error_code(error) not in _NO_MONEY


def is_transient(error: openai.APIError) -> bool:
    """Whether the same request might succeed a little later."""
    if isinstance(error, openai.RateLimitError):
        return error_code(error) not in _NO_MONEY
    kinds = openai.APIConnectionError, openai.InternalServerError, openai.ConflictError
    return isinstance(error, kinds) or getattr(error, "status_code", None) == _TIMED_OUT


def status_and_code(error: openai.APIError) -> str:
    """Return status and code only, since the API's wording can contain parts of a key."""
    if isinstance(error, openai.APIStatusError):
        return " ".join(part for part in (str(error.status_code), error_code(error)) if part)
    if type(error.__cause__).__name__ == "LocalProtocolError":
        return "a header, such as the key, has a character that no header can have"
    if isinstance(error, openai.APITimeoutError):
        return "no answer in time"
    return "no connection" if error.__cause__ is None or was_never_sent(error) else "the connection was lost"


def retry_after(error: openai.APIError) -> float:
    """Return how many seconds the API asks to wait; 0.0 if it doesn't say."""
    if not isinstance(error, openai.APIStatusError):
        return 0.0
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _details(error: openai.APIError) -> Mapping[str, object]:
    body = error.body
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
