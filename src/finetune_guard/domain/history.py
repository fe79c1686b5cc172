"""What is remembered about one organization, and how new knowledge is merged into it.

Merging never moves a fact backwards: the order and the number of times that facts arrive don't matter.
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


def _renamed(inference: Inference, organization: str) -> Inference:
    return inference.model_copy(update={"organization": organization})


class Evidence(Value):
    """What a decision rests on: the summary of one organization's history.

    Attributes:
        fine_tuned_by: A moment at which fine-tuning had certainly happened already.
        no_trace_at: When a search for earlier fine-tuning last came back empty.
        refusal: The latest refusal of the API.
        job_created_at: When the latest job that is known was created.
        keep_alive_failed_at: When a keep-alive was last answered by no model.
        usage_read: The stretches of time for which the organization's usage was read.
        listed: The fine-tuned models that the API ever listed, and the day (UTC) on which it last did.
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
        newest = later_fact(self.last_inference, other.last_inference)
        if newest is not None:  # what a deployment serves is told with the deployment
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
            models[inference.model] = later_fact(models.get(inference.model), inference)
            for day, count in activity.counts.items():
                known = daily.get(day, {})
                daily[day] = {**known, inference.source: known.get(inference.source, 0) + count}
        return History(evidence=evidence, models=models, daily=daily)

    def without_usage(self) -> History:
        """Return the history without what was read from the organization's usage.

        An earlier inference that was known from elsewhere does not come back, nor does fine-tuning so proved.
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
        and what the API says of a day may be read again.
        """
        models = dict(self.models)
        for model, inference in other.models.items():
            models[model] = later_fact(models.get(model), _renamed(inference, self.organization))
        daily = dict(self.daily)
        for day, counts in other.daily.items():
            known = daily.get(day, {})
            larger = {source: max(known.get(source, 0), count) for source, count in counts.items()}
            daily[day] = {**known, **larger}
        return History(evidence=self.evidence.merged(other.evidence), models=models, daily=daily)
