"""The history of one organization, and how new facts are merged into it.

Merging never moves a fact backwards, so that the order of facts and repetitions don't matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from pydantic import Field

from finetune_guard.domain.facts import (
    Activity,
    Ended,
    Inference,
    ModelId,
    ModelLimits,
    Refusal,
    Source,
    Span,
    earliest,
    later_fact,
    merge_listed,
    merge_spans,
    sort_key,
)
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.values import Value


def _under_name(inference: Inference, organization: str) -> Inference:
    return inference.model_copy(update={"organization": organization})


class Evidence(Value):
    """The summary of one organization's history that decisions use.

    Attributes:
        fine_tuned_by: A time by which fine-tuning had certainly happened.
        no_trace_at: When a search for earlier fine-tuning last came back empty.
        refusal: The latest refusal of the API.
        job_created_at: When the latest known job was created.
        keep_alive_failed_at: When no model last answered a keep-alive.
        usage_read: The periods for which the organization's usage was read.
        listed: The fine-tuned models that the API has listed, each with the day (UTC) of the last time.
        model_limits: The organization's limits as last shown by the API; no decision uses them.
        ended: In a resource's history, the deployments that were not found or were forgotten.
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
        """Return the time until which the usage is known without a gap from ``since`` on."""
        return next((span.end for span in self.usage_read if span.start <= since < span.end), None)

    def recorded(self, inference: Inference) -> Evidence:
        """Return the evidence with ``inference`` added, which also proves earlier fine-tuning."""
        return self.merged(
            Evidence(organization=self.organization, last_inference=inference, fine_tuned_by=inference.at)
        )

    def merged(self, other: Evidence) -> Evidence:
        """Return the facts of both under this one's name."""
        newest = later_fact(self.last_inference, other.last_inference)
        if newest is not None:  # the served model is kept with the deployment
            newest = newest.model_copy(update={"organization": self.organization, "served": None})
        return Evidence(
            organization=self.organization,
            last_inference=newest,
            fine_tuned_by=earliest(self.fine_tuned_by, other.fine_tuned_by),
            no_trace_at=later_fact(self.no_trace_at, other.no_trace_at),
            refusal=later_fact(self.refusal, other.refusal),
            job_created_at=later_fact(self.job_created_at, other.job_created_at),
            keep_alive_failed_at=later_fact(self.keep_alive_failed_at, other.keep_alive_failed_at),
            usage_read=merge_spans((*self.usage_read, *other.usage_read)),
            listed=merge_listed(self.listed, other.listed),
            model_limits=later_fact(self.model_limits, other.model_limits),
            ended={
                **self.ended,
                **{name: later_fact(self.ended.get(name), each) for name, each in other.ended.items()},
            },
        )


class History(Value):
    """Everything recorded about one organization: the evidence for decisions, and more.

    Attributes:
        models: The latest inference of each model.
        daily: The number of inferences on each day (UTC), by source.
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
        """The latest known inference of any model."""
        return self.evidence.last_inference

    @property
    def known_models(self) -> frozenset[str]:
        """The fine-tuned models that were called or that the API listed, including those shut down."""
        return frozenset((*self.models, *self.evidence.listed))

    def inferences_on(self, day: date) -> int:
        """Return the least number of inferences on ``day`` (UTC).

        The organization's usage includes the inferences of other sources, so that it is not added to them.
        """
        counts = self.daily.get(day, {})
        usage = counts.get(Source.USAGE_API, 0)
        return max(usage, sum(counts.values()) - usage)

    def recorded(self, *activities: Activity) -> History:
        """Return the history with ``activities`` added: times move forward only, counts add up."""
        evidence, models, daily = self.evidence, dict(self.models), dict(self.daily)
        for activity in activities:
            inference = _under_name(activity.inference, self.organization)
            evidence = evidence.recorded(inference)
            models[inference.model] = later_fact(models.get(inference.model), inference)
            for day, count in activity.counts.items():
                known = daily.get(day, {})
                daily[day] = {**known, inference.source: known.get(inference.source, 0) + count}
        return History(evidence=evidence, models=models, daily=daily)

    def without_usage(self) -> History:
        """Return the history without the facts read from the organization's usage.

        An earlier inference from another source that they replaced does not come back.
        """
        models = {name: each for name, each in self.models.items() if each.source is not Source.USAGE_API}
        others: dict[date, dict[Source, int]] = {
            day: {source: count for source, count in counts.items() if source is not Source.USAGE_API}
            for day, counts in self.daily.items()
        }
        daily = {day: counts for day, counts in others.items() if counts}
        last = self.evidence.last_inference
        if last is not None and last.source is Source.USAGE_API:
            last = max(models.values(), key=sort_key, default=None)
        proofs = [self.evidence.job_created_at, *(each.at for each in (*models.values(), last) if each)]
        kept = {"last_inference": last, "fine_tuned_by": earliest(*proofs), "usage_read": ()}
        return History(evidence=self.evidence.model_copy(update=kept), models=models, daily=daily)

    def merged(self, other: History) -> History:
        """Return the history of an organization that was known under two names; this name stays.

        A day's count is the larger of the two: the same inferences may have been counted under both names,
        and the usage of a day may have been read twice.
        """
        models = dict(self.models)
        for model, inference in other.models.items():
            models[model] = later_fact(models.get(model), _under_name(inference, self.organization))
        daily = dict(self.daily)
        for day, counts in other.daily.items():
            known = daily.get(day, {})
            larger = {source: max(known.get(source, 0), count) for source, count in counts.items()}
            daily[day] = {**known, **larger}
        return History(evidence=self.evidence.merged(other.evidence), models=models, daily=daily)
