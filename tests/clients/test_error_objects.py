"""Errors as objects: what programs, loggers and process pools do with them."""

from __future__ import annotations

import copy
import pickle
import traceback

import openai
import pytest
from both_ways import HTTP
from conftest import START

import finetune_guard
from finetune_guard import FineTuneGuardError, FineTuneGuardWarning, FineTuningRefusedError, KeepAliveError
from finetune_guard.eligibility import decide
from finetune_guard.history import Evidence
from finetune_guard.policy import OPENAI_SELF_SERVE

ELIGIBILITY = decide(OPENAI_SELF_SERVE, Evidence(organization="acme-28gund"), START)
ERRORS = [
    kind
    for kind in vars(finetune_guard).values()
    if isinstance(kind, type)
    and issubclass(kind, FineTuneGuardError)
    and not issubclass(kind, openai.APIStatusError)
]
WARNINGS = [
    kind
    for kind in vars(finetune_guard).values()
    if isinstance(kind, type) and issubclass(kind, FineTuneGuardWarning)
]


def made(kind):
    more = {"attempts": {"ft:a:b::c": "404"}} if issubclass(kind, KeepAliveError) else {}
    return kind("what happened", eligibility=ELIGIBILITY, remedy="do this", **more)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copied", "copied deeply", "pickled"],
)
def test_a_copy_is_the_same(kind, again):
    """Copied, or sent to another process, an error tells what it told."""
    error = made(kind)
    twin = again(error)
    assert type(error) is type(twin)
    assert (str(error), vars(error)) == (str(twin), vars(twin))
    assert ELIGIBILITY == twin.eligibility


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_it_prints_well(kind):
    """A traceback ends with the public name and the message."""
    *_, last = traceback.format_exception(made(kind))
    assert last.endswith(f"{kind.__name__}: what happened\n")
    assert issubclass(kind, openai.OpenAIError)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_a_message_is_enough(kind):
    """Tests of programs can raise each of them with a message alone."""
    error = kind("what happened")
    assert (None, None) == (error.eligibility, error.remedy)


def test_the_remedy_comes_from_the_eligibility():
    """An error says what its decision says, if it isn't told better."""
    assert ELIGIBILITY.remedy == FineTuneGuardError("x", eligibility=ELIGIBILITY).remedy


def test_a_refusal_is_both():
    """The API's refusal is the SDK's error and ours."""
    request = HTTP.Request("POST", "https://api.openai.com/v1/fine_tuning/jobs")
    response = HTTP.Response(403, request=request, headers={"x-request-id": "req_1"})
    error = FineTuningRefusedError(
        "refused", response=response, body={"code": "training_not_available"}, eligibility=ELIGIBILITY
    )
    assert isinstance(error, openai.PermissionDeniedError)
    assert isinstance(error, finetune_guard.NotEligibleError)
    assert ("training_not_available", 403, "req_1") == (error.code, error.status_code, error.request_id)
    assert ("refused", ELIGIBILITY.remedy) == (str(error), error.remedy)


def test_a_configuration_error_is_a_value_error():
    """Frameworks that catch ``ValueError`` for wrong settings catch ours."""
    with pytest.raises(ValueError, match=r"GuardConfig\.on_unknown"):
        finetune_guard.GuardConfig(on_unknown="maybe")


@pytest.mark.parametrize("kind", WARNINGS, ids=lambda kind: kind.__name__)
def test_a_warning_is_a_user_warning(kind):
    """Warnings can be filtered as the user warnings they are."""
    assert issubclass(kind, UserWarning)
