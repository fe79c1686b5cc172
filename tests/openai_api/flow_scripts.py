"""Driving a flow by hand: each API call is answered from a script, each pause is noted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import openai

from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.openai_api.flow import ApiCall, Pause, Reply
from tests.support.constants import NOW

CREDENTIALS = Credentials("Bearer sk-test")


def reply(body: Any) -> Reply:
    return Reply(body, Subject("acme-28gund", CREDENTIALS), NOW)


def error(status: int, code: str | None = None, **headers: str) -> openai.APIStatusError:
    """An SDK error, as the API's answer of that status would raise it."""
    body = {"message": "Incorrect API key: sk-very-secret.", "code": code, "param": None, "type": "x"}
    response = httpx.Response(
        status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        json={"error": body},
        request=httpx.Request("POST", "https://api.openai.com/v1/x"),
    )
    client = openai.OpenAI(api_key="sk-test")
    return client._make_status_error("told", body={"error": body}, response=response)


def connection_error(cause: str, *, timeout: bool = False) -> openai.APIConnectionError:
    """An SDK error for a request that was not answered, as the HTTP library's error ``cause`` leads to it."""
    request = httpx.Request("POST", "https://api.openai.com/v1/x")
    kind = openai.APITimeoutError if timeout else openai.APIConnectionError
    failed = kind(request=request)
    failed.__cause__ = getattr(httpx, cause)("told")
    return failed


def run(flow: Any, *answers: Any) -> tuple[Any, list[ApiCall], list[timedelta]]:
    """Run ``flow`` with ``answers`` to its API calls: replies, errors, or functions of the call."""
    script, calls, pauses = list(answers), [], []
    step = next(flow)
    try:
        while True:
            if isinstance(step, Pause):
                pauses.append(step.duration)
                step = flow.send(None)
                continue
            calls.append(step)
            answer = script.pop(0) if len(script) > 1 or not callable(script[0]) else script[0]
            answer = answer(step) if callable(answer) else answer
            step = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as stop:
        assert script == [] or callable(script[0])
        return stop.value, calls, pauses
