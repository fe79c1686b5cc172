"""The single facts that histories hold, such as inferences and refusals, and which of two is later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Literal, TypeVar, overload

from pydantic import Field, model_validator

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.text import Line
from finetune_guard.domain.values import StrEnum, Value

MOST_LISTED = 500
"""How many of the models that the API listed are remembered: those that it listed last."""

ModelId = Annotated[Line, Field(max_length=MAX_MODEL_ID_LENGTH)]
"""The name of a model or a deployment, as far as it is kept."""

_END_OF_TIME = datetime.max.replace(tzinfo=timezone.utc)


class Source(StrEnum):
    """How an inference came to be known."""

    OBSERVED = "observed"
    KEEP_ALIVE = "keep_alive"
    USAGE_API = "usage_api"
    BATCH = "batch"
    IMPORTED = "imported"


class Coverage(StrEnum):
    """Whose inferences a history knows of."""

    LOCAL = "local"
    ORGANIZATION = "organization"


class Served(Value):
    """The model, a base model's id or a fine-tune's, that an answer of a deployment has named."""

    model: ModelId
    at: UtcDatetime


class Inference(Value):
    """One successful call of a fine-tuned model, or of a deployment.

    Attributes:
        organization: The organization that ran it, by the name its history has; or the resource.
        model: The id of the fine-tuned model, or the deployment's name.
        at: When it was answered, in UTC.
        source: How it came to be known.
        within: How much later than ``at`` it may have been: usage tells the minute, the hour or the day.
        served: The model that a deployment's answer named, this one's or an earlier one's.
    """

    organization: str
    model: str
    at: UtcDatetime
    source: Source = Source.OBSERVED
    within: timedelta = Field(default=timedelta(0), ge=timedelta(0), le=timedelta(days=1))
    served: Served | None = None

    @property
    def latest_at(self) -> datetime:
        """The latest moment at which it may have been answered."""
        return self.at + min(self.within, _END_OF_TIME - self.at)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M UTC} on {self.model} ({self.source})"


class Refusal(Value):
    """The API's own refusal to create a job: when it was given, its error code and its explanation."""

    at: UtcDatetime
    code: Annotated[Line, Field(max_length=64)]
    message: Annotated[Line, Field(max_length=500)] = ""


class Ended(Value):
    """That a deployment was not found, or is not to be kept, since ``at``; a later call takes it back."""

    at: UtcDatetime
    why: Literal["not_found", "forgotten"]


class ModelLimits(Value):
    """What the API answered to ``GET /fine_tuning/model_limits``; no decision rests on it.

    ``answer`` is the JSON without what looks like a key, or what went wrong where there is no ``status``.
    """

    at: UtcDatetime
    status: int | None
    answer: Annotated[Line, Field(max_length=2_000)]


class Span(Value):
    """A stretch of time whose inferences are known for the whole organization."""

    start: UtcDatetime
    end: UtcDatetime

    @model_validator(mode="after")
    def _is_not_empty(self) -> Span:
        if self.start < self.end:
            return self
        raise ValueError("a span must end after its start")


def merge_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return ``spans`` in order of time, those joined that touch or overlap."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].end:
            before = joined.pop()
            span = Span(start=before.start, end=max(before.end, span.end))  # noqa: PLW2901 -- the two as one
        joined.append(span)
    return tuple(joined)


class Activity(Value):
    """Inferences of one model from one source, added up: the latest of them, and their number on each day."""

    inference: Inference
    counts: Mapping[date, int] = Field(default_factory=dict)


_T = TypeVar("_T", datetime, Inference, ModelLimits, Refusal, Served, Ended)


@overload
def later_fact(one: _T | None, other: _T) -> _T: ...
@overload
def later_fact(one: _T | None, other: _T | None) -> _T | None: ...
def later_fact(one: _T | None, other: _T | None) -> _T | None:
    """Return the later of two facts; of two at the same instant always the same one, whatever the order.

    Two inferences overlap where usage tells only the day: an inference at 10:00, and one at some time of that
    day, together mean one between 10:00 and the day's end. The latest word on what is served counts, too.
    """
    if one is None or other is None:
        return other if one is None else one
    later = max(one, other, key=sort_key)
    if isinstance(one, Inference) and isinstance(other, Inference) and isinstance(later, Inference):
        within = max(one.latest_at, other.latest_at) - later.at
        return later.model_copy(update={"within": within, "served": later_fact(one.served, other.served)})
    return later


def sort_key(fact: datetime | Inference | ModelLimits | Refusal | Served | Ended) -> tuple[datetime, str]:
    """Return what facts of one kind are put in order by."""
    if isinstance(fact, datetime):
        return fact, ""
    return fact.at, fact.model_dump_json(exclude={"organization", "within", "served"})


def merge_listed(one: Mapping[str, date], other: Mapping[str, date]) -> Mapping[str, date]:
    """Return on which day (UTC) the API last listed each model, of ``MOST_LISTED`` at most."""
    days = {**one, **{model: max(day, one.get(model, day)) for model, day in other.items()}}
    if len(days) <= MOST_LISTED:
        return days
    return dict(sorted(days.items(), key=lambda item: (item[1], item[0]), reverse=True)[:MOST_LISTED])


def earliest(*moments: datetime | None) -> datetime | None:
    """Return the earliest of the moments that are known."""
    return min((moment for moment in moments if moment is not None), default=None)


@dataclass(frozen=True)
class ModelRequests:
    """The requests of one model on one day (UTC). A plain class: a page of usage can hold 100,000 of them."""

    day: date
    model: str
    project: str | None = None
    requests: int = 0
