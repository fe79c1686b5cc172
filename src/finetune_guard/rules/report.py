"""Build an organization's report: its models, their requests, and which projects still call them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from finetune_guard.domain.facts import ModelRequests
from finetune_guard.domain.history import History
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.values import Value
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.rules.deployments import Deployment
from finetune_guard.rules.inventory import Inventory, ModelRecord

DAYS = 30
"""How many days of requests a report shows, including today (UTC)."""

_MOST_SERIES = 6
_ALL_MODELS = "all models"
_OTHERS = "other models"


class ReportedModel(Value):
    """One model of a report, with its requests and the projects that called it, the most frequent first.

    ``requests`` is None if only single calls are known.
    """

    record: ModelRecord
    requests: int | None = None
    projects: tuple[str, ...] = ()
    in_use: bool = False


class Report(Value):
    """An organization's fine-tuned models at one time, the first to end first.

    Attributes:
        complete: Whether every request about the models succeeded; None if the API was not asked.
        days: The days (UTC) that the requests cover.
        requests: The number of requests on each day: by model if the organization's usage was read, otherwise
            of all models together, as this history counted them.
        whole_organization: Whether the requests are the whole organization's.
    """

    eligibility: Eligibility
    models: tuple[ReportedModel, ...]
    complete: bool | None
    last_job_at: UtcDatetime | None
    days: tuple[date, ...]
    requests: Mapping[str, tuple[int, ...]]
    whole_organization: bool
    deployments: tuple[Deployment, ...] = ()

    @property
    def covers_jobs(self) -> bool:
        """Whether there is a rule about creating jobs; otherwise the report covers deployments only."""
        return self.eligibility.reason is not Reason.NOT_GUARDED

    @property
    def in_use(self) -> tuple[ReportedModel, ...]:
        """The models called in the days of the report that can still answer."""
        today = self.eligibility.checked_at.date()
        used = (each for each in self.models if each.in_use)
        return tuple(
            each for each in used if each.record.shutdown is None or not each.record.shutdown.is_over(today)
        )


def build_report(
    eligibility: Eligibility,
    inventory: Inventory,
    history: History,
    usage: Iterable[ModelRequests] | None,
    *,
    asked: bool,
    deployments: tuple[Deployment, ...] = (),
) -> Report:
    """Return the report; ``usage`` is None if it was not read, ``asked`` is whether the API was asked."""
    today = eligibility.checked_at.date()
    days = tuple(today - timedelta(days=back) for back in reversed(range(DAYS)))
    counted = [each for each in usage if each.day in days] if usage is not None else None
    return Report(
        eligibility=eligibility,
        models=tuple(_model(record, days[0], counted) for record in inventory.models),
        complete=inventory.complete if asked else None,
        last_job_at=history.evidence.job_created_at,
        days=days,
        requests=_by_model(counted, days) if counted is not None else _by_day(history, days),
        whole_organization=counted is not None,
        deployments=deployments,
    )


def _model(record: ModelRecord, since: date, counted: list[ModelRequests] | None) -> ReportedModel:
    last = record.last_inference
    in_use = last is not None and last.latest_at.date() >= since
    if counted is None:
        return ReportedModel(record=record, in_use=in_use)
    mine = [each for each in counted if each.model == record.id]
    projects: Counter[str] = Counter()
    for each in mine:
        if each.project is not None:
            projects[each.project] += each.requests
    return ReportedModel(
        record=record,
        requests=sum(each.requests for each in mine),
        projects=tuple(sorted(projects, key=lambda name: (-projects[name], name))),
        in_use=in_use or bool(mine),
    )


def _by_model(counted: list[ModelRequests], days: tuple[date, ...]) -> dict[str, tuple[int, ...]]:
    """Return the requests of the models called most, and of all others together."""
    totals: Counter[str] = Counter()
    for each in counted:
        totals[each.model] += each.requests
    shown = sorted(totals, key=lambda name: (-totals[name], name))
    if len(shown) > _MOST_SERIES:
        shown = shown[: _MOST_SERIES - 1]
    counts: Counter[tuple[str, date]] = Counter()
    for each in counted:
        counts[each.model if each.model in shown else _OTHERS, each.day] += each.requests
    names = [*shown, *([_OTHERS] if len(totals) > len(shown) else [])]
    return {name: tuple(counts[name, day] for day in days) for name in names}


def _by_day(history: History, days: tuple[date, ...]) -> dict[str, tuple[int, ...]]:
    counts = tuple(history.inferences_on(day) for day in days)
    return {_ALL_MODELS: counts} if any(counts) else {}
