"""The facts in a history, such as inferences and refusals, and how two of a kind are merged."""

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
"""The most listed models that are kept: those that the API listed last."""

ModelId = Annotated[Line, Field(max_length=MAX_MODEL_ID_LENGTH)]
"""The name of a model or a deployment."""

_END_OF_TIME = datetime.max.replace(tzinfo=timezone.utc)


class Source(StrEnum):
    """How an inference is known."""

    OBSERVED = "observed"
    KEEP_ALIVE = "keep_alive"
    USAGE_API = "usage_api"
    BATCH = "batch"
    IMPORTED = "imported"


class Coverage(StrEnum):
    """Whether a history covers only its clients' inferences or the whole organization's."""

    LOCAL = "local"
    ORGANIZATION = "organization"


class Served(Value):
    """The model that a deployment's answer named, a base model or a fine-tune."""

    model: ModelId
    at: UtcDatetime


class Inference(Value):
    """One successful call of a fine-tuned model, or of a deployment.

    Attributes:
        organization: The name of the organization's or the resource's history.
        model: The id of the fine-tuned model, or the deployment's name.
        at: When it was answered, in UTC.
        source: How it is known.
        within: How much later than ``at`` it may have been: usage gives only the minute, the hour or the day.
        served: The model named by this answer of a deployment or by an earlier one.
    """

    organization: str
    model: str
    at: UtcDatetime
    source: Source = Source.OBSERVED
    within: timedelta = Field(default=timedelta(0), ge=timedelta(0), le=timedelta(days=1))
    served: Served | None = None

    @property
    def latest_at(self) -> datetime:
        """The latest time at which it may have been answered."""
        return self.at + min(self.within, _END_OF_TIME - self.at)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M UTC} on {self.model} ({self.source})"


class Refusal(Value):
    """A refusal by the API to create a job, with its error code and message."""

    at: UtcDatetime
    code: Annotated[Line, Field(max_length=64)]
    message: Annotated[Line, Field(max_length=500)] = ""


class Ended(Value):
    """A deployment was not found, or was forgotten, at ``at``; a later call takes that back."""

    at: UtcDatetime
    why: Literal["not_found", "forgotten"]


class ModelLimits(Value):
    """The response to ``GET /fine_tuning/model_limits``; no decision uses it.

    ``answer`` is the JSON without anything that looks like a key, or the error if there is no ``status``.
    """

    at: UtcDatetime
    status: int | None = None
    answer: Annotated[Line, Field(max_length=2_000)]


class Span(Value):
    """A period whose inferences are known for the whole organization."""

    start: UtcDatetime
    end: UtcDatetime

    @model_validator(mode="after")
    def _is_not_empty(self) -> Span:
        if self.start < self.end:
            return self
        raise ValueError("a span must end after its start")


def merge_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return ``spans`` in order of time, with those that touch or overlap joined."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].end:
            before = joined.pop()
            span = Span(start=before.start, end=max(before.end, span.end))  # noqa: PLW2901 -- the two as one
        joined.append(span)
    return tuple(joined)


class Activity(Value):
    """Inferences of one model from one source: the latest of them, and their number on each day."""

    inference: Inference
    counts: Mapping[date, int] = Field(default_factory=dict)


_T = TypeVar("_T", datetime, Inference, ModelLimits, Refusal, Served, Ended)


@overload
def later_fact(one: _T | None, other: _T) -> _T: ...
@overload
def later_fact(one: _T | None, other: _T | None) -> _T | None: ...
def later_fact(one: _T | None, other: _T | None) -> _T | None:
    """Return the later of two facts; for the same time, the same one in either order.

    If usage gives only the day, two inferences can overlap: one at 10:00, and one at some time of that day,
    are merged into one between 10:00 and the end of the day. The latest ``served`` is kept as well.
    """
    if one is None or other is None:
        return other if one is None else one
    later = max(one, other, key=sort_key)
    if isinstance(one, Inference) and isinstance(other, Inference) and isinstance(later, Inference):
        within = max(one.latest_at, other.latest_at) - later.at
        return later.model_copy(update={"within": within, "served": later_fact(one.served, other.served)})
    return later


def sort_key(fact: datetime | Inference | ModelLimits | Refusal | Served | Ended) -> tuple[datetime, str]:
    """Return the key by which facts of one kind are sorted."""
    if isinstance(fact, datetime):
        return fact, ""
    return fact.at, fact.model_dump_json(exclude={"organization", "within", "served"})


def merge_listed(one: Mapping[str, date], other: Mapping[str, date]) -> Mapping[str, date]:
    """Return the day (UTC) on which the API last listed each model, for at most ``MOST_LISTED`` models."""
    days = {**one, **{model: max(day, one.get(model, day)) for model, day in other.items()}}
    if len(days) <= MOST_LISTED:
        return days
    return dict(sorted(days.items(), key=lambda item: (item[1], item[0]), reverse=True)[:MOST_LISTED])


def earliest(*moments: datetime | None) -> datetime | None:
    """Return the earliest of the known times."""
    return min((moment for moment in moments if moment is not None), default=None)


@dataclass(frozen=True)
class ModelRequests:
    """The requests of one model on one day (UTC). A plain class: a page of usage can hold 100,000 of them."""

    day: date
    model: str
    project: str | None = None
    requests: int = 0
