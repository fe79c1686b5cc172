"""Finds the fine-tuned models that ran in answers, stored responses and batches.

An answer is the SDK's parsed body (one of its models, or a dict) or the body's JSON; no answer can do harm.
A 2xx status alone proves nothing: a gateway may send an error, a web page, or another model's answer with it.
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
from finetune_guard.openai_api.listing import records, unix_time

_START_EVENTS = frozenset(("response.created", "response.in_progress", "response.queued"))
_END_EVENTS = frozenset(("response.completed", "response.incomplete", "response.failed"))
_RUNNING = ("queued", "in_progress")
_STEP = re.compile(r":ckpt-step-[0-9]+\Z")
_MOST_REQUESTS = 10**9
_LONGEST_ID = 128
_MOST_BATCHES = 1_000  # ten times a page of the API: reading more would delay the program
_LONGEST_RUN = timedelta(days=1)  # the most that a batch can take, and that ``Inference.within`` can hold
_BATCH_ENDS = ("finalizing_at", "completed_at", "cancelling_at", "cancelled_at", "expired_at", "failed_at")

Recognizer = Callable[[object], "str | None"]
"""Returns the model that a name stands for; None to ignore it."""


def fine_tuned_id(name: object) -> str | None:
    """Return the fine-tuned model in ``name``, also with a gateway's prefix (``openai/ft:...``)."""
    if not isinstance(name, str) or "ft" not in name or len(name) > MAX_MODEL_ID_LENGTH:
        return None
    return parse_fine_tune(name)


@lru_cache(maxsize=1024)
def parse_fine_tune(name: str) -> str | None:
    """Do as ``fine_tuned_id`` does for a name that is short enough to cache."""
    written = (name, name.rpartition("/")[2])
    return next((model_id for model_id in written if FineTunedModel.parse(model_id) is not None), None)


def fields_of(answer: object) -> Mapping[str, Any] | None:
    """Return the fields of a parsed answer; None for any other, such as a string or a raw response."""
    if type(answer) is dict:
        return answer
    try:  # faster than an isinstance check for a pydantic model
        fields, extra = answer.__dict__, answer.__pydantic_extra__  # type: ignore[attr-defined]
    except AttributeError:
        return None
    # Undeclared fields are in ``extra``: a program may use its own type.
    return {**extra, **fields} if extra and "choices" not in fields and "output" not in fields else fields


def valid_model_name(name: object) -> str | None:
    """Return ``name`` if it can be a model's name, fine-tuned or not; otherwise None."""
    return name if name == "" or is_name(name, MAX_MODEL_ID_LENGTH) else None


def completing_model(
    answer: object, requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Return the fine-tuned model whose completion ``answer`` is; None if it is not one.

    The model in the answer counts, not the requested one: an alias, a stored prompt or a gateway may have
    chosen another. If the answer names none, the requested one counts, if any. A response counts when it is
    completed, or ended with a part of its output.
    """
    return model_in(fields_of(answer) or {}, requested, recognize)


def model_in(
    fields: Mapping[str, Any], requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Do as ``completing_model`` does for an answer's fields; every call of a model runs this."""
    named = fields.get("model")
    model = requested if not named or named == requested else recognize(named)
    if model is None:
        return None
    choices = fields.get("choices")
    return model if (choices and type(choices) is list) or _is_output(fields) else None


def completed_model(answer: object) -> str | None:
    """Return the model of a plain completed answer; None if the answer needs ``completing_model``.

    A fast path, which decides most answers.
    """
    fields = getattr(answer, "__dict__", None)
    if fields is None:
        return None
    named, choices = fields.get("model"), fields.get("choices")
    is_completed = (choices and type(choices) is list) or fields.get("status") == "completed"
    return named if is_completed and type(named) is str and 0 < len(named) <= MAX_MODEL_ID_LENGTH else None


def shows_completion_of(answer: object, model: str) -> bool:
    """Whether ``answer`` is a completion of ``model`` or one of its checkpoints, ignoring case."""
    model_found = completing_model(answer, model)
    return model_found is not None and _STEP.sub("", model_found).lower() == _STEP.sub("", model).lower()


def _is_output(fields: Mapping[str, Any]) -> bool:
    """Whether a response is completed, or has ended with a part of its output."""
    status, output = fields.get("status"), fields.get("output")
    if status == "completed":
        return True
    return isinstance(output, list) and bool(output) and status not in _RUNNING


class StreamedCompletion:
    """Finds the first event of a stream that proves a completion; is over when none can follow."""

    __slots__ = ("_model", "_recognize", "_requested", "is_over")

    def __init__(self, requested: str | None, recognize: Recognizer = fine_tuned_id) -> None:
        self.is_over = False
        self._requested = requested
        self._recognize = recognize
        self._model = requested

    def model_in(self, event: object) -> str | None:
        """Return the fine-tuned model if ``event`` is the first to prove its completion; else None."""
        fields = fields_of(event)
        if self.is_over or fields is None:
            return None
        kind = fields.get("type")
        if not isinstance(kind, str) or not kind.startswith("response."):
            model = model_in(fields, self._requested, self._recognize)
            return self._check_over(model, fields.get("model"))
        if kind in _END_EVENTS:
            self.is_over = True
            return completing_model(fields.get("response"), self._requested, self._recognize)
        if kind in _START_EVENTS:
            response = fields_of(fields.get("response")) or {}
            named = response.get("model")
            if named:
                self._model = self._recognize(named)
            self.is_over = self._model is None
            return None
        return self._check_over(self._model, None)

    def _check_over(self, model: str | None, named: object) -> str | None:
        self.is_over = model is not None or (bool(named) and self._recognize(named) is None)
        return model


def ended_response(event: object) -> object:
    """Return the response in an event that ends it; None for any other event."""
    fields = fields_of(event) or {}
    kind = fields.get("type")
    return fields.get("response") if isinstance(kind, str) and kind in _END_EVENTS else None


@dataclass(frozen=True)
class PastRun:
    """One or more inferences in a record of the API; they ran at most ``within`` after ``at``."""

    id: str
    model: str
    at: datetime
    within: timedelta
    requests: int
    source: Source


def batch_runs(body: object, now: datetime) -> Iterator[PastRun]:
    """Return the answered requests of a batch, or of each in a list, whatever its final status."""
    for row in islice(records(body), _MOST_BATCHES):
        batch_id, model = row.get("id"), fine_tuned_id(row.get("model"))
        requests = _answered(row.get("request_counts"), row.get("status"))
        span = _span(row, now)
        if model is not None and requests and span is not None and is_name(batch_id, _LONGEST_ID):
            yield PastRun(batch_id, model, *span, requests, Source.BATCH)


def stored_run(body: object, now: datetime) -> PastRun | None:
    """Return the inference of a stored response; None unless it has an output and a time."""
    fields = fields_of(body) or {}
    response_id, model = fields.get("id"), completing_model(fields, None)
    at = unix_time(fields.get("completed_at"), now) or unix_time(fields.get("created_at"), now)
    if model is None or at is None or not is_name(response_id, _LONGEST_ID):
        return None
    return PastRun(response_id, model, at, timedelta(0), 1, Source.OBSERVED)


def _span(row: Mapping[str, Any], now: datetime) -> tuple[datetime, timedelta] | None:
    """Return the earliest time when a batch may have run, and how much later it may have been."""
    ends = (at for name in _BATCH_ENDS if (at := unix_time(row.get(name), now)) is not None)
    end = next(ends, None)
    start = unix_time(row.get("in_progress_at"), now) or unix_time(row.get("created_at"), now)
    if start is None:
        return None if end is None else (end - _LONGEST_RUN, _LONGEST_RUN)
    return start, max(timedelta(0), min((end or now) - start, _LONGEST_RUN))


def _answered(counts: object, status: object) -> int:
    completed = counts.get("completed") if isinstance(counts, Mapping) else None
    if isinstance(completed, bool) or not isinstance(completed, int):
        return 1 if status == "completed" else 0
    return max(0, min(completed, _MOST_REQUESTS))
