"""What the API's errors mean."""

from __future__ import annotations

import httpx
import openai
import pytest

from finetune_guard.openai_api.errors import (
    concerns_model,
    error_code,
    error_message,
    in_short,
    is_refusal,
    is_transient,
    retry_after,
    would_fail_alike,
)
from tests.openai_api.flow_scripts import connection_error, error

REQUEST = httpx.Request("POST", "https://api.openai.com/v1/fine_tuning/jobs")
REFUSAL = {"message": "OpenAI is winding down.", "code": "training_not_available", "param": None}


def denied(body: object) -> openai.PermissionDeniedError:
    return openai.PermissionDeniedError("told", response=httpx.Response(403, request=REQUEST), body=body)


@pytest.mark.parametrize("body", [REFUSAL, {"error": REFUSAL}])
def test_the_refusal_is_told_in_both_body_shapes(body):
    """Newer SDKs give the inner error object as the body, older ones the outer."""
    assert "training_not_available" == error_code(denied(body))
    assert "OpenAI is winding down." == error_message(denied(body))
    assert is_refusal(denied(body))


@pytest.mark.parametrize(
    "other",
    [
        denied(None),
        denied("<html>"),
        denied({}),
        denied({"error": "no"}),
        denied({"code": 7, "message": 7}),
        denied({"error": {"code": "insufficient_permissions"}}),
        error(400, "training_not_available"),
        error(400, "model_not_available"),
        error(429, "insufficient_quota"),
        error(401, "invalid_api_key"),
    ],
)
def test_nothing_else_is_taken_for_the_refusal(other):
    """Other codes, other statuses and strange bodies are not the policy's refusal."""
    assert not is_refusal(other)


def test_the_apis_words_are_made_safe_to_show_and_store():
    """Line breaks, control characters and lone surrogates don't get into logs and stores."""
    message = error_message(denied({"message": "a\nb\x1b[31m\ud800c" + "x" * 9_000}))
    assert message.startswith("a b [31m c")
    assert 500 == len(message)
    assert message.isprintable()


def test_a_key_in_the_apis_words_is_neither_kept_nor_shown():
    """A key that the API repeats is taken out, also where the cut would fall into it, and as a code."""
    key = "sk-proj-Abc123Def456"
    told = denied({"message": f"{'x ' * 240}{key}, and {key}", "code": key})
    assert "sk-proj" not in error_message(told)
    assert error_code(told) is None
    assert "403" == in_short(told)


@pytest.mark.parametrize("body", [None, "<html>", {}, {"message": 7}, {"error": "no"}])
def test_where_the_api_says_nothing_nothing_is_made_up(body):
    """A body without words of the API's gives none."""
    assert error_message(denied(body)) == ""


@pytest.mark.parametrize(
    ("problem", "model", "passing", "short"),
    [
        (error(400, "x"), True, False, "400 x"),
        (error(403), True, False, "403"),
        (error(404, "model_not_found"), True, False, "404 model_not_found"),
        (error(422), True, False, "422"),
        (error(400, "billing_hard_limit_reached"), False, False, "400 billing_hard_limit_reached"),
        (error(401), False, False, "401"),
        (error(408), False, True, "408"),
        (error(409), False, True, "409"),
        (error(429), False, True, "429"),
        (error(429, "insufficient_quota"), False, False, "429 insufficient_quota"),
        (error(500), False, True, "500"),
        (openai.APITimeoutError(REQUEST), False, True, "no answer in time"),
        (openai.APIConnectionError(request=REQUEST), False, True, "no connection"),
        (connection_error("ConnectError"), False, True, "no connection"),
        (connection_error("ReadError"), False, True, "the connection was lost"),
    ],
)
def test_what_another_model_or_time_may_help_against(problem, model, passing, short):
    """Each error is told by status and code: another model may answer, or a later try, or neither."""
    assert (model, passing, short) == (concerns_model(problem), is_transient(problem), in_short(problem))


@pytest.mark.parametrize(
    ("problem", "alike"),
    [
        (error(401, "invalid_api_key"), True),
        (error(401), True),
        (connection_error("ConnectError"), True),
        (connection_error("ReadError"), False),
        (connection_error("LocalProtocolError"), True),
        (connection_error("ConnectTimeout", timeout=True), True),
        (connection_error("ReadTimeout", timeout=True), False),
        (error(403, "unsupported_country"), False),
        (error(429), False),
        (error(503), False),
        (ValueError("x"), False),
        (None, False),
    ],
)
def test_where_the_users_own_call_would_fail_in_the_same_way(problem, alike):
    """A key that isn't accepted, and a server that isn't reached, fail the user's own call as well."""
    assert alike is would_fail_alike(problem)


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
def test_how_long_the_api_asks_to_wait(problem, seconds):
    """Seconds are understood; anything else asks for no particular time."""
    assert seconds == retry_after(problem)


@pytest.mark.parametrize(
    "code",
    [
        7,
        1.5,
        True,
        [],
        ["rate_limit"],
        {"a": 1},
        "a\nb",
        "\x1b[2J",
        "x" * 65,
        "\u202e",
        "\ud800",
        "x" * 10**6,
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_a_code_that_can_be_none_is_none(code, status):
    """A code that is no text, endless, or would forge a line harms nothing: the status tells enough."""
    for body in ({"code": code}, {"error": {"code": code}}, {"code": code, "error": {"code": code}}):
        response = httpx.Response(status, request=REQUEST)
        strange = openai.OpenAI(api_key="sk-test")._make_status_error("told", body=body, response=response)
        assert (status in {429, 500}) == is_transient(strange)
        assert (status in {400, 403, 404}) == concerns_model(strange)
        assert not is_refusal(strange)
        assert in_short(strange).startswith(str(status))
        assert in_short(strange).isprintable()
        assert len(in_short(strange)) < 80
        if isinstance(code, str):
            assert error_code(strange) is None
