"""The calls that the demo's story is made of, and how their results are put."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import openai
from openai.types.chat import ChatCompletion

from finetune_guard.cli.demo_stage import Stage
from finetune_guard.domain.errors import FineTuneGuardWarning, NotEligibleError
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules.enforcement import cause
from finetune_guard.simulator import ServedCall

_T = TypeVar("_T")

BASE_MODEL = "gpt-4o-mini-2024-07-18"
PARCELS = tuple(range(4701, 4713))
QUESTION = "Where is my parcel {number}?"
ANSWER = "Parcel {number} is on its way. I am glad to help."


def verdict(eligibility: Eligibility) -> str:
    """Return a decision in one line."""
    return f"{eligibility.verdict.value}: {cause(eligibility)}"


def training_example(number: int) -> dict[str, object]:
    """Return a line of the training file, as an object."""
    return {
        "messages": [
            {"role": "user", "content": QUESTION.format(number=number)},
            {"role": "assistant", "content": ANSWER.format(number=number)},
        ]
    }


def upload(stage: Stage, client: openai.OpenAI) -> str:
    """Upload the training file and return its id."""
    return client.files.create(file=stage.training_file, purpose="fine-tune").id


def created(client: openai.OpenAI, file_id: str) -> str:
    """Create a job and return its id and status."""
    job = client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file_id)
    return f"{job.id}: {job.status}"


def content(reply: ChatCompletion) -> str:
    """Return what a model said."""
    return str(reply.choices[0].message.content)


def refusal(call: Callable[[], object]) -> NotEligibleError:
    """Return the error with which the guard stops ``call``."""
    try:
        call()
    except NotEligibleError as error:
        return error
    raise RuntimeError("the guard let a call through that it should have stopped")


def reached(calls: tuple[ServedCall, ...]) -> list[str]:
    """Return which calls reached the server, a line each."""
    if not calls:
        return ["nothing reached the server"]
    return [f"{call.method} {call.path} -> {call.status}" for call in calls]


def ask(client: openai.OpenAI, model: str, number: int) -> str:
    """Ask a model where a parcel is, and return its answer."""
    question = {"role": "user", "content": QUESTION.format(number=number)}
    return content(client.chat.completions.create(model=model, messages=[question]))  # type: ignore[list-item]


def heard(call: Callable[[], _T]) -> tuple[_T, list[str]]:
    """Return what ``call`` returns, and the guard's warnings as a program would show them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FineTuneGuardWarning)
        result = call()
    return result, [f"{type(each.message).__name__}: {each.message}" for each in caught]
