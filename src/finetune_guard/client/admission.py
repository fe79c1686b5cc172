"""Carrying out what was decided about a call: the error, the warning, or nothing."""

from __future__ import annotations

import sys
from typing import Any

import openai

from finetune_guard.client.sdk_compat import job_creation_request
from finetune_guard.domain.errors import FineTuneGuardWarning, FineTuningRefusedError
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.guard import Admission, Guard
from finetune_guard.openai_api.errors import is_refusal
from finetune_guard.openai_api.flow import Flow, UserCall
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.rules.enforcement import must_stop, stopping_error, stopping_message, warning


def admitted(
    call: GuardedCall, decision: Flow[Admission], guard: Guard, client: Any, credentials: Credentials
) -> Flow[None]:
    """Make the user's call, or stop it, as ``decision`` says.

    Raises:
        NotEligibleError: The call is stopped.
        FineTuningRefusedError: The API refused it by its policy, which is remembered.
    """
    try:
        admission = yield from decision
    except openai.OpenAIError:
        raise
    except Exception as error:  # noqa: BLE001 -- our failure must not be the end of the user's call
        client._finetune_guard.complain(error)  # noqa: SLF001 -- its other half
        warnings = []
    else:
        warnings = admit(call, admission, guard, client)
    try:
        yield UserCall(tuple(warnings))
    except openai.PermissionDeniedError as error:
        if not is_refused_creation(call, error):
            raise
        try:
            refusal = refusal_error(error, guard, credentials)
        except Exception as failure:  # noqa: BLE001 -- as above
            client._finetune_guard.complain(failure)  # noqa: SLF001 -- as above
            raise error from error.__cause__
        raise refusal from error


def admit(call: GuardedCall, admission: Admission, guard: Guard, client: Any) -> list[FineTuneGuardWarning]:
    """Let ``call`` through, with the warnings that go with it, or stop it.

    Raises:
        NotEligibleError: The call is stopped.
    """
    eligibility = admission.eligibility
    if admission.fails_alike or not must_stop(call, eligibility, guard.config.on_unknown):
        return [each for each in (warning(call, eligibility), admission.warning) if each is not None]
    cause = admission.failures[-1] if admission.failures else None
    if eligibility.reason is Reason.REFUSED:
        raise _remembered_refusal(call, eligibility, guard, client)
    raise stopping_error(call, eligibility, guard.policy, admission.failures) from cause


def is_refused_creation(call: GuardedCall, error: openai.APIStatusError) -> bool:
    """Whether ``error`` is the API's refusal, by its policy, of the job that ``call`` creates."""
    forbidden = isinstance(error, openai.PermissionDeniedError)
    return forbidden and isinstance(call, JobCreation) and is_refusal(error)


def refusal_error(
    error: openai.APIStatusError, guard: Guard, credentials: Credentials
) -> FineTuningRefusedError:
    """Remember the API's refusal and return it as an error that says what is known beside it."""
    eligibility = guard.refused(error, credentials)
    message = stopping_message(JobCreation(None), eligibility, guard.policy)
    return FineTuningRefusedError(message, response=error.response, body=error.body, eligibility=eligibility)


def _remembered_refusal(
    call: GuardedCall, eligibility: Eligibility, guard: Guard, client: Any
) -> FineTuningRefusedError:
    """Return a refusal that was given before, with its response rebuilt for whoever looks at it."""
    refusal = eligibility.refusal
    assert refusal is not None
    body = {
        "message": refusal.message,
        "type": "invalid_request_error",
        "param": None,
        "code": refusal.code,
    }
    request = job_creation_request(client)
    http_library = sys.modules[type(request).__module__.partition(".")[0]]
    response = http_library.Response(403, json={"error": body}, request=request)
    message = stopping_message(call, eligibility, guard.policy)
    return FineTuningRefusedError(
        message, response=response, body=body, eligibility=eligibility, remembered=True
    )
