"""Which fine-tuned models answers show to have run, stored responses and batches included.

An answer is what the SDK made of a body (one of its models, or a dict), or the body's JSON; none can do harm.
A 2xx alone shows nothing: a gateway may send an error, a web page, or another model's words with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from finetune_guard.domain.facts import Source
from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, FineTunedModel
from finetune_guard.domain.text import is_name
from finetune_guard.openai_api.listing import moment, records

_BEGUN = frozenset(("response.created", "response.in_progress", "response.queued"))
_ENDED = frozenset(("response.completed", "response.incomplete", "response.failed"))
_NOT_YET = ("queued", "in_progress")
_STEP = re.compile(r":ckpt-step-[0-9]+\Z")
_MOST_REQUESTS = 10**9
_LONGEST_ID = 128
_MOST_BATCHES = 1_000  # ten times what the API puts into one page: reading more would hold the program up
_LONGEST_RUN = timedelta(days=1)  # what a batch has at most, and the most that ``Inference.within`` can say
_BATCH_ENDS = ("finalizing_at", "completed_at", "cancelling_at", "cancelled_at", "expired_at", "failed_at")

Recognizer = Callable[[object], "str | None"]
"""Returns the model that a name stands for; None for one that doesn't matter."""


def fine_tuned_id(name: object) -> str | None:
    """Return the fine-tuned model that ``name`` names, also with a gateway's prefix (``openai/ft:...``)."""
    if not isinstance(name, str) or "ft" not in name or len(name) > MAX_MODEL_ID_LENGTH:
        return None
    return fine_tune_named(name)


@lru_cache(maxsize=1024)
def fine_tune_named(name: str) -> str | None:
    """Return what ``fine_tuned_id`` does for a name that is not too long to be kept."""
    written = (name, name.rpartition("/")[2])
    return next((model_id for model_id in written if FineTunedModel.parse(model_id) is not None), None)


def fields_of(answer: object) -> Mapping[str, Any] | None:
    """Return the fields of a parsed answer; None when it is none, such as a text or a raw response."""
    if type(answer) is dict:
        return answer
    try:  # faster than to ask whether it is a pydantic model
        fields, extra = answer.__dict__, answer.__pydantic_extra__  # type: ignore[attr-defined]
    except AttributeError:
        return None
    # What the type doesn't declare stands apart: a program may name a type of its own.
    return {**extra, **fields} if extra and "choices" not in fields and "output" not in fields else fields


def any_model(name: object) -> str | None:
    """Return the model that ``name`` names, fine-tuned or not; None where it can be no name."""
    return name if name == "" or is_name(name, MAX_MODEL_ID_LENGTH) else None


def completing_model(
    answer: object, requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Return the fine-tuned model whose completion ``answer`` shows; None when it shows none.

    The model that the answer names counts, not the one that was asked for: an alias, a stored prompt or a
    gateway may have led to another. Where the answer names none, the one that was asked for counts, if any.
    A response counts once it is completed, or ended with a part of its output.
    """
    return model_in(fields_of(answer) or {}, requested, recognize)


def model_in(
    fields: Mapping[str, Any], requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Return what ``completing_model`` does for an answer's fields; every call of a model pays for this."""
    named = fields.get("model")
    model = requested if not named or named == requested else recognize(named)
    if model is None:
        return None
    choices = fields.get("choices")
    return model if (choices and type(choices) is list) or _is_output(fields) else None


def completed_by(answer: object) -> str | None:
    """Return the model that a completed answer of the SDK's names; None where it takes a closer look.

    It tells most answers apart, and sooner than ``completing_model``.
    """
    fields = getattr(answer, "__dict__", None)
    if fields is None:
        return None
    named, choices = fields.get("model"), fields.get("choices")
    is_completed = (choices and type(choices) is list) or fields.get("status") == "completed"
    return named if is_completed and type(named) is str and 0 < len(named) <= MAX_MODEL_ID_LENGTH else None


def shows_completion_of(answer: object, model: str) -> bool:
    """Whether ``answer`` shows a completion of ``model``, whatever the case, or of a checkpoint's step."""
    shown = completing_model(answer, model)
    return shown is not None and _STEP.sub("", shown).lower() == _STEP.sub("", model).lower()


def _is_output(fields: Mapping[str, Any]) -> bool:
    """Whether a response is completed, or has ended with a part of its output."""
    status, output = fields.get("status"), fields.get("output")
    if status == "completed":
        return True
    return isinstance(output, list) and bool(output) and status not in _NOT_YET


class StreamedCompletion:
    """Finds the first event of one stream that belongs to a completion, and is over where none can follow."""

    __slots__ = ("_model", "_recognize", "_requested", "is_over")

    def __init__(self, requested: str | None, recognize: Recognizer = fine_tuned_id) -> None:
        self.is_over = False
        self._requested = requested
        self._recognize = recognize
        self._model = requested

    def model_in(self, event: object) -> str | None:
        """Return the fine-tuned model whose completion ``event`` is the first to show; None as a rule."""
        fields = fields_of(event)
        if self.is_over or fields is None:
            return None
        kind = fields.get("type")
        if not isinstance(kind, str) or not kind.startswith("response."):
            model = completing_model(fields, self._requested, self._recognize)
            return self._found(model, fields.get("model"))
        if kind in _ENDED:
            self.is_over = True
            return completing_model(fields.get("response"), self._requested, self._recognize)
        if kind in _BEGUN:
            response = fields_of(fields.get("response")) or {}
            named = response.get("model")
            if named:
                self._model = self._recognize(named)
            self.is_over = self._model is None
            return None
        return self._found(self._model, None)

    def _found(self, model: str | None, named: object) -> str | None:
        self.is_over = model is not None or (bool(named) and self._recognize(named) is None)
        return model


def ended_response(event: object) -> object:
    """Return the response that an event of its stream says has ended; None for any other event."""
    fields = fields_of(event) or {}
    kind = fields.get("type")
    return fields.get("response") if isinstance(kind, str) and kind in _ENDED else None


@dataclass(frozen=True)
class PastRun:
    """One or several inferences that a record of the API tells of; they ran up to ``within`` after ``at``."""

    id: str
    model: str
    at: datetime
    within: timedelta
    requests: int
    source: Source


def batch_runs(body: object, now: datetime) -> Iterator[PastRun]:
    """Return what ran in a batch, or in each of a list: its answered requests, whatever became of it."""
    for row in islice(records(body), _MOST_BATCHES):
        batch_id, model = row.get("id"), fine_tuned_id(row.get("model"))
        requests = _answered(row.get("request_counts"), row.get("status"))
        span = _span(row, now)
        if model is not None and requests and span is not None and is_name(batch_id, _LONGEST_ID):
            yield PastRun(batch_id, model, *span, requests, Source.BATCH)


def stored_run(body: object, now: datetime) -> PastRun | None:
    """Return the inference that a stored response was; None unless it ended with an output and says when."""
    fields = fields_of(body) or {}
    response_id, model = fields.get("id"), completing_model(fields, None)
    at = moment(fields.get("completed_at"), now) or moment(fields.get("created_at"), now)
    if model is None or at is None or not is_name(response_id, _LONGEST_ID):
        return None
    return PastRun(response_id, model, at, timedelta(0), 1, Source.OBSERVED)


def _span(row: Mapping[str, Any], now: datetime) -> tuple[datetime, timedelta] | None:
    """When a batch ran, as the earliest moment and how much later it may have been."""
    ends = (at for name in _BATCH_ENDS if (at := moment(row.get(name), now)) is not None)
    end = next(ends, None)
    start = moment(row.get("in_progress_at"), now) or moment(row.get("created_at"), now)
    if start is None:
        return None if end is None else (end - _LONGEST_RUN, _LONGEST_RUN)
    return start, max(timedelta(0), min((end or now) - start, _LONGEST_RUN))


def _answered(counts: object, status: object) -> int:
    completed = counts.get("completed") if isinstance(counts, Mapping) else None
    if isinstance(completed, bool) or not isinstance(completed, int):
        return 1 if status == "completed" else 0
    return max(0, min(completed, _MOST_REQUESTS))
