"""What the API's errors mean."""

from __future__ import annotations

import httpx
import openai
import pytest

from finetune_guard.openai_api.errors import (
    concerns_model,
    error_code,
    error_message,
    is_refusal,
    is_transient,
    organization_named,
    retry_after,
    status_and_code,
    would_fail_alike,
)
from tests.openai_api.flow_scripts import connection_error, error

REQUEST = httpx.Request("POST", "https://api.openai.com/v1/fine_tuning/jobs")
REFUSAL = {"message": "OpenAI is winding down.", "code": "training_not_available", "param": None}


def denied(body: object) -> openai.PermissionDeniedError:
    return openai.PermissionDeniedError("told", response=httpx.Response(403, request=REQUEST), body=body)


def test_the_organization_that_an_error_names():
    """An answer may name the organization; without an answer, nothing does."""
    response = httpx.Response(404, request=REQUEST, headers={"openai-organization": "acme-28gund"})
    assert "acme-28gund" == organization_named(openai.NotFoundError("told", response=response, body=None))
    assert None is organization_named(connection_error("ConnectError"))


@pytest.mark.parametrize("body", [REFUSAL, {"error": REFUSAL}])
def test_refusal_is_recognized_in_both_body_shapes(body):
    """Newer SDKs give the inner error object as the body, older ones the outer."""
    assert "training_not_available" == error_code(denied(body))
    assert "OpenAI is winding down." == error_message(denied(body))
    assert is_refusal(denied(body))


@pytest.mark.parametrize(
    "body",
    [None, "<html>", {}, {"error": "no"}, {"code": 7, "message": 7}, {"error": {"code": "no_permission"}}],
)
def test_other_bodies_and_codes_are_no_refusal(body):
    assert not is_refusal(denied(body))
    assert "" == error_message(denied(body))


def test_api_message_is_stored_without_control_characters():
    message = error_message(denied({"message": "a\nb\x1b[31m\ud800c" + "x" * 9_000}))
    assert message.startswith("a b [31m c")
    assert 500 == len(message)
    assert message.isprintable()


def test_key_in_an_api_error_is_removed():
    """A key is removed also where the cut would fall into it, and as a code."""
    key = "sk-proj-Abc123Def456"
    error = denied({"message": f"{'x ' * 240}{key}, and {key}", "code": key})
    assert "sk-proj" not in error_message(error)
    assert error_code(error) is None
    assert "403" == status_and_code(error)


@pytest.mark.parametrize(
    ("problem", "model", "passing", "alike", "short"),
    [
        (error(400, "training_not_available"), True, False, False, "400 training_not_available"),
        (error(403), True, False, False, "403"),
        (error(404, "model_not_found"), True, False, False, "404 model_not_found"),
        (error(422), True, False, False, "422"),
        (error(400, "billing_hard_limit_reached"), False, False, False, "400 billing_hard_limit_reached"),
        (error(401), False, False, True, "401"),
        (error(408), False, True, False, "408"),
        (error(409), False, True, False, "409"),
        (error(429), False, True, False, "429"),
        (error(429, "insufficient_quota"), False, False, False, "429 insufficient_quota"),
        (error(500), False, True, False, "500"),
        (openai.APITimeoutError(REQUEST), False, True, False, "no answer in time"),
        (openai.APIConnectionError(request=REQUEST), False, True, False, "no connection"),
        (connection_error("ConnectError"), False, True, True, "no connection"),
        (connection_error("ReadError"), False, True, False, "the connection was lost"),
        (connection_error("ConnectTimeout", timeout=True), False, True, True, "no answer in time"),
        (connection_error("ReadTimeout", timeout=True), False, True, False, "no answer in time"),
    ],
)
def test_errors_are_classified_by_status_and_code(problem, model, passing, alike, short):
    """Another model, a later try or neither may help; and the user's own call may fail alike."""
    classified = concerns_model(problem), is_transient(problem), would_fail_alike(problem)
    assert (model, passing, alike, short) == (*classified, status_and_code(problem))
    assert not is_refusal(problem)  # which has its own status and code


def test_local_errors_are_distinguished_from_api_errors():
    """A header that can't be sent fails the user's own call as well."""
    problem = connection_error("LocalProtocolError")
    assert would_fail_alike(problem)
    assert status_and_code(problem).startswith("a header, such as the key,")
    assert not would_fail_alike(ValueError("x"))
    assert not would_fail_alike(None)


@pytest.mark.parametrize(
    ("problem", "seconds"),
    [
        (error(429, retry_after="2.5"), 2.5),
        (error(429, retry_after="-3"), 0.0),
        (error(429, retry_after="nan"), 0.0),
        (error(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 0.0),
        (error(429), 0.0),
        (openai.APITimeoutError(REQUEST), 0.0),
    ],
)
def test_retry_after_seconds_are_parsed(problem, seconds):
    assert seconds == retry_after(problem)


@pytest.mark.parametrize("code", ["a\nb", "\x1b[2J", "x" * 65, "\u202e", "\ud800", "x" * 10**6])
def test_invalid_error_code_is_replaced_by_the_status(code):
    for body in ({"code": code}, {"error": {"code": code}}):
        assert (None, "403") == (error_code(denied(body)), status_and_code(denied(body)))
