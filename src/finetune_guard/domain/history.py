"""What is remembered about one organization, and how new knowledge is merged into it.

Merging never moves a fact backwards: the order and the number of times that facts arrive don't matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, model_validator

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.str_enum import StrEnum
from finetune_guard.domain.text import Line

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


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Served(_Fact):
    """Which model a deployment serves, by an answer of it.

    Attributes:
        model: The model that the answer named: a base model's id or a fine-tune's.
        at: When it was answered, in UTC.
    """

    model: ModelId
    at: UtcDatetime


class Inference(_Fact):
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


class Refusal(_Fact):
    """The API's own refusal to create a job: when it was given, its error code and its explanation."""

    at: UtcDatetime
    code: Annotated[Line, Field(max_length=64)]
    message: Annotated[Line, Field(max_length=500)] = ""


class Ending(StrEnum):
    """Why a deployment is not expected to answer any more."""

    NOT_FOUND = "not_found"
    FORGOTTEN = "forgotten"


class Ended(_Fact):
    """That a deployment was not found any more, or is not to be kept; a later call takes it back.

    Attributes:
        at: When that became known, in UTC.
        why: Which of the two.
    """

    at: UtcDatetime
    why: Ending


class ModelLimits(_Fact):
    """What the API answered to ``GET /fine_tuning/model_limits``; no decision rests on it.

    Its form is not published, so that it is kept as it came.

    Attributes:
        status: The status of the answer; None where there was none.
        answer: The answer's JSON without what looks like a key, or what went wrong; cut to 2000 characters.
    """

    at: UtcDatetime
    status: int | None
    answer: Annotated[Line, Field(max_length=2_000)]


class Span(_Fact):
    """A stretch of time whose inferences are known for the whole organization."""

    start: UtcDatetime
    end: UtcDatetime

    @model_validator(mode="after")
    def _is_not_empty(self) -> Span:
        if self.start < self.end:
            return self
        raise ValueError("a span must end after its start")


def united(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return ``spans`` in order of time, those joined that touch or overlap."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].end:
            before = joined.pop()
            span = Span(start=before.start, end=max(before.end, span.end))  # noqa: PLW2901 -- the two as one
        joined.append(span)
    return tuple(joined)


class Activity(_Fact):
    """Inferences of one model from one source, added up: the latest of them, and their number on each day."""

    inference: Inference
    counts: Mapping[date, int] = Field(default_factory=dict)


_T = TypeVar("_T", datetime, Inference, ModelLimits, Refusal, Served, Ended)


@overload
def latest(one: _T | None, other: _T) -> _T: ...
@overload
def latest(one: _T | None, other: _T | None) -> _T | None: ...
def latest(one: _T | None, other: _T | None) -> _T | None:
    """Return the later of two facts; of two at the same instant always the same one, whatever the order.

    Of two inferences that overlap, the later start and the later end count: an inference at 10:00, and one
    at some time of the same day, together mean one between 10:00 and the end of that day. The latest
    word on which model a deployment serves counts, too.
    """
    if one is None or other is None:
        return other if one is None else one
    later = max(one, other, key=_moment)
    if isinstance(one, Inference) and isinstance(other, Inference) and isinstance(later, Inference):
        known = {
            "within": max(one.latest_at, other.latest_at) - later.at,
            "served": latest(one.served, other.served),
        }
        changed = any(value != getattr(later, name) for name, value in known.items())
        return later.model_copy(update=known) if changed else later
    return later


def _moment(fact: datetime | Inference | ModelLimits | Refusal | Served | Ended) -> tuple[datetime, str]:
    if isinstance(fact, datetime):
        return fact, ""
    return fact.at, fact.model_dump_json(exclude={"organization", "within", "served"})


def latest_listed(one: Mapping[str, date], other: Mapping[str, date]) -> Mapping[str, date]:
    """Return on which day (UTC) the API last listed each model, of ``MOST_LISTED`` at most."""
    days = {**one, **{model: max(day, one.get(model, day)) for model, day in other.items()}}
    if len(days) <= MOST_LISTED:
        return days
    return dict(sorted(days.items(), key=lambda item: (item[1], item[0]), reverse=True)[:MOST_LISTED])


def earliest(*moments: datetime | None) -> datetime | None:
    """Return the earliest of the moments that are known."""
    return min((moment for moment in moments if moment is not None), default=None)


def _renamed(inference: Inference, organization: str) -> Inference:
    return inference.model_copy(update={"organization": organization})


def _in_summary(inference: Inference, organization: str) -> Inference:
    """Return an inference as the latest of any model: what one of them serves is told with that one."""
    renamed = _renamed(inference, organization)
    return renamed if renamed.served is None else renamed.model_copy(update={"served": None})


class Evidence(_Fact):
    """What a decision rests on: the summary of one organization's history.

    Attributes:
        fine_tuned_by: A moment at which fine-tuning had certainly happened already.
        no_trace_at: When a search for earlier fine-tuning last came back empty.
        refusal: The latest refusal of the API.
        job_created_at: When the latest job that is known was created.
        keep_alive_failed_at: When a keep-alive was last answered by no model.
        usage_read: The stretches of time for which the organization's usage was read.
        listed: The fine-tuned models that the API listed, whether they were run or not, and the day (UTC) on
            which it last did. A model that is gone stays here.
        model_limits: What the API last showed as the organization's limits; it decides nothing.
        ended: Of a resource's history, the deployments that were not found any more or were forgotten.
    """

    organization: str
    last_inference: Inference | None = None
    fine_tuned_by: UtcDatetime | None = None
    no_trace_at: UtcDatetime | None = None
    refusal: Refusal | None = None
    job_created_at: UtcDatetime | None = None
    keep_alive_failed_at: UtcDatetime | None = None
    usage_read: tuple[Span, ...] = ()
    listed: Mapping[ModelId, date] = Field(default_factory=dict)
    model_limits: ModelLimits | None = None
    ended: Mapping[ModelId, Ended] = Field(default_factory=dict)

    def usage_read_until(self, since: datetime) -> datetime | None:
        """Return up to when the organization's usage is known without a gap from ``since`` on."""
        return next((span.end for span in self.usage_read if span.start <= since < span.end), None)

    def recorded(self, inference: Inference) -> Evidence:
        """Return the evidence with ``inference`` added, which also proves earlier fine-tuning."""
        return self.merged(
            Evidence(organization=self.organization, last_inference=inference, fine_tuned_by=inference.at)
        )

    def merged(self, other: Evidence) -> Evidence:
        """Return what is known from both; the name is this one's."""
        newest = latest(self.last_inference, other.last_inference)
        return Evidence(
            organization=self.organization,
            last_inference=_in_summary(newest, self.organization) if newest is not None else None,
            fine_tuned_by=earliest(self.fine_tuned_by, other.fine_tuned_by),
            no_trace_at=latest(self.no_trace_at, other.no_trace_at),
            refusal=latest(self.refusal, other.refusal),
            job_created_at=latest(self.job_created_at, other.job_created_at),
            keep_alive_failed_at=latest(self.keep_alive_failed_at, other.keep_alive_failed_at),
            usage_read=united((*self.usage_read, *other.usage_read)),
            listed=latest_listed(self.listed, other.listed),
            model_limits=latest(self.model_limits, other.model_limits),
            ended={
                **self.ended,
                **{name: latest(self.ended.get(name), each) for name, each in other.ended.items()},
            },
        )


class History(_Fact):
    """All that is remembered about one organization: the evidence that decisions rest on, and more.

    Attributes:
        models: The latest inference of each model.
        daily: How many inferences each day (UTC) had, by source, as far as guarded clients saw them.
    """

    evidence: Evidence
    models: Mapping[str, Inference] = Field(default_factory=dict)
    daily: Mapping[date, Mapping[Source, int]] = Field(default_factory=dict)

    @property
    def organization(self) -> str:
        """The name of the history."""
        return self.evidence.organization

    @property
    def last_inference(self) -> Inference | None:
        """The latest inference known, of whatever model."""
        return self.evidence.last_inference

    @property
    def known_models(self) -> frozenset[str]:
        """The fine-tuned models that were run or that the API listed, also those that are gone."""
        return frozenset((*self.models, *self.evidence.listed))

    def inferences_on(self, day: date) -> int:
        """Return how many inferences ``day`` (UTC) had at least.

        The organization's usage includes what other sources count, so that it is not added to them.
        """
        counts = self.daily.get(day, {})
        usage = counts.get(Source.USAGE_API, 0)
        return max(usage, sum(counts.values()) - usage)

    def recorded(self, *activities: Activity) -> History:
        """Return the history with ``activities`` added: times move forward only, counts add up."""
        evidence, models, daily = self.evidence, dict(self.models), dict(self.daily)
        for activity in activities:
            inference = _renamed(activity.inference, self.organization)
            evidence = evidence.recorded(inference)
            models[inference.model] = latest(models.get(inference.model), inference)
            for day, count in activity.counts.items():
                known = daily.get(day, {})
                daily[day] = {**known, inference.source: known.get(inference.source, 0) + count}
        return History(evidence=evidence, models=models, daily=daily)

    def without_usage(self) -> History:
        """Return the history without what was read from the organization's usage.

        Of each model only the latest inference is known: an earlier one, known from elsewhere, does not come
        back, and neither does earlier fine-tuning that nothing else here proves.
        """
        models = {name: each for name, each in self.models.items() if each.source is not Source.USAGE_API}
        others: dict[date, dict[Source, int]] = {
            day: {source: count for source, count in counts.items() if source is not Source.USAGE_API}
            for day, counts in self.daily.items()
        }
        daily = {day: counts for day, counts in others.items() if counts}
        last = self.evidence.last_inference
        if last is not None and last.source is Source.USAGE_API:
            last = max(models.values(), key=_moment, default=None)
        proofs = [self.evidence.job_created_at, *(each.at for each in (*models.values(), last) if each)]
        kept = {"last_inference": last, "fine_tuned_by": earliest(*proofs), "usage_read": ()}
        return History(evidence=self.evidence.model_copy(update=kept), models=models, daily=daily)

    def merged(self, other: History) -> History:
        """Return the history of an organization that was known under two names; this name stays.

        A day's count is the larger of the two: the same inferences may have been counted under both names,
        and what the API says of a day may be read again.
        """
        models = dict(self.models)
        for model, inference in other.models.items():
            models[model] = latest(models.get(model), _renamed(inference, self.organization))
        daily = dict(self.daily)
        for day, counts in other.daily.items():
            known = daily.get(day, {})
            larger = {source: max(known.get(source, 0), count) for source, count in counts.items()}
            daily[day] = {**known, **larger}
        return History(evidence=self.evidence.merged(other.evidence), models=models, daily=daily)
