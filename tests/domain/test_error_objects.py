"""Copying, pickling and attributes of error objects."""

from __future__ import annotations

import copy
import gzip
import pickle
import traceback
from datetime import date

import openai
import pytest

import finetune_guard
from finetune_guard import (
    DateSource,
    FineTunedModelShutDownError,
    FineTuneGuardError,
    FineTuningRefusedError,
    KeepAliveError,
    ModelLifetimeError,
    NotEligibleError,
    ProviderLossError,
    Shutdown,
)
from tests.client.flavours import HTTP
from tests.support.constants import START
from tests.support.facts import decided

ELIGIBILITY = decided(START)
ERRORS = [
    kind
    for kind in map(finetune_guard.__getattr__, finetune_guard.__all__)
    if isinstance(kind, type) and issubclass(kind, FineTuneGuardError)
]
ANSWERS = [error for error in ERRORS if issubclass(error, (FineTunedModelShutDownError, ProviderLossError))]
STOPPED = [error for error in ERRORS if issubclass(error, NotEligibleError)]
MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
SHUTDOWN = Shutdown(model=MODEL, day=date(2027, 1, 14), source=DateSource.TABLE, as_of=date(2026, 11, 22))


def make_error(kind, *, answered=True):
    more = {"attempts": {"ft:a:b::c": "404"}} if issubclass(kind, KeepAliveError) else {}
    if issubclass(kind, ModelLifetimeError):
        more |= {"model": MODEL, "shutdown": SHUTDOWN}
    if issubclass(kind, openai.APIStatusError) and answered:
        more |= {"response": make_response(), "body": {"code": "model_not_found", "message": "gone"}}
    return kind("what happened", eligibility=ELIGIBILITY, remedy="do this", **more)


def make_response(status=404):
    """An answer of the API to a request that was sent with a key."""
    request = HTTP.Request(
        "POST", "https://api.openai.com/v1/chat/completions", headers={"authorization": "Bearer sk-secret"}
    )
    return HTTP.Response(status, request=request, headers={"x-request-id": "req_1"}, json={"error": {}})


COPIES = {
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
    "pickled": lambda error: pickle.loads(pickle.dumps(error)),
}


@pytest.mark.parametrize(
    ("kind", "answered"),
    [(kind, answered) for kind in ERRORS for answered in ((True,) if kind in ANSWERS else (True, False))],
)
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_copied_or_pickled_error_is_equal_and_holds_no_key(kind, duplicate, answered):
    error = make_error(kind, answered=answered)
    copied = duplicate(error)
    assert (type(error), str(error), error.args) == (type(copied), str(copied), copied.args)
    assert ELIGIBILITY == copied.eligibility
    parts = [{**vars(error_object), "response": None, "request": None} for error_object in (error, copied)]
    assert parts[0] == parts[1]
    if isinstance(error, openai.APIStatusError):
        assert error.response.json() == copied.response.json()
        assert error.response.headers["content-type"] == copied.response.headers["content-type"]
        assert str(error.request.url) == str(copied.request.url)
        assert "secret" not in f"{copied.request.headers.items()} {copied.response.request.headers.items()}"


def test_error_with_an_unread_or_compressed_response_can_be_copied():
    compressed = HTTP.Response(
        403,
        request=make_response().request,
        headers={"content-encoding": "gzip", "x-request-id": "req_1"},
        content=gzip.compress(b"{}"),
    )
    unread = HTTP.Response(403, request=make_response().request, stream=HTTP.ByteStream(b"{}"))
    for response, content in ((compressed, b"{}"), (unread, b""), (object(), None)):
        error = make_error(NotEligibleError)
        error.response = response
        copied = copy.copy(error)
        assert content == getattr(copied.response, "content", None)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_traceback_has_the_public_name_and_no_key(kind):
    error = make_error(kind)
    assert "secret" not in f"{error} {error!r} {error.args} {vars(error)}"
    assert traceback.format_exception(error)[-1].endswith(f"{kind.__name__}: what happened. do this\n")
    if kind not in ANSWERS:  # a message is enough for tests of programs
        assert (None, None) == (kind("what happened").eligibility, kind("what happened").remedy)


@pytest.mark.parametrize("kind", STOPPED, ids=lambda kind: kind.__name__)
def test_stopped_call_raises_the_sdks_permission_error(kind):
    """The error is the SDK's and ours, and ``sent`` says whether the request was sent."""
    answered = make_error(kind)
    assert isinstance(answered, openai.PermissionDeniedError)
    assert ("req_1", True, "do this") == (answered.request_id, answered.sent, answered.remedy)
    made_up = make_error(kind, answered=False)
    assert ("training_not_available", 403, None) == (made_up.code, made_up.status_code, made_up.request_id)
    assert (False, "false") == (made_up.sent, made_up.response.headers["x-finetune-guard-sent"])
    assert ("what happened. do this", "what happened") == (str(made_up), made_up.body["message"])
    assert made_up.response.request.url == made_up.request.url
    assert "authorization" not in made_up.request.headers
    assert ELIGIBILITY.remedy == kind("x", eligibility=ELIGIBILITY).remedy
    if kind is FineTuningRefusedError:  # one that was given to an earlier call is a remembered one
        assert (False, True) == (answered.remembered, made_up.remembered)


def test_shut_down_fine_tune_raises_the_sdks_not_found_error():
    """The error is the SDK's and ours, with the shutdown date as a value."""
    error = make_error(FineTunedModelShutDownError)
    assert isinstance(error, openai.NotFoundError)
    assert isinstance(error, ModelLifetimeError)
    assert ("model_not_found", 404, "req_1") == (error.code, error.status_code, error.request_id)
    assert (MODEL, SHUTDOWN) == (error.model, error.shutdown)
    assert ("do this", "gone") == (error.remedy, error.body["message"])


def test_shut_down_base_raises_no_api_error():
    """A job that was stopped before it was sent has no response."""
    for kind in (finetune_guard.BaseModelShutDownError, finetune_guard.ShortLivedModelError):
        error = make_error(kind)
        assert not isinstance(error, openai.APIError)
        assert (MODEL, SHUTDOWN) == (error.model, error.shutdown)
