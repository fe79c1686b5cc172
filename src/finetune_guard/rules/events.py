"""Build the events of calls, decisions, models and deployments, with their messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from finetune_guard.domain.errors import FineTuneGuardError, KeepAliveError, NotEligibleError
from finetune_guard.domain.events import (
    DeploymentEnding,
    HistoryUnavailable,
    JobStopped,
    KeepAliveFailed,
    KeepAliveSent,
    ModelEnding,
    VerdictChanged,
    WindowClosing,
)
from finetune_guard.domain.verdict import Eligibility, Verdict
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.rules.deployments import DeploymentEnd
from finetune_guard.rules.idle_messages import end_in_words, idle_rule, retirement_in_words
from finetune_guard.rules.messages import describe_cause, format_time

_MOST_NAMED = 3


def call_kind(call: GuardedCall) -> Literal["job", "upload"]:
    """Return the name of a call's kind for events."""
    return "job" if isinstance(call, JobCreation) else "upload"


def job_stopped(call: GuardedCall, error: FineTuneGuardError, now: datetime) -> JobStopped:
    """Return the event of a call that ended with ``error``."""
    decided = error.eligibility
    return JobStopped(
        at=now,
        organization=decided.organization if decided is not None else None,
        message=str(error),
        call=call_kind(call),
        model=call.model if isinstance(call, JobCreation) else None,
        sent=isinstance(error, NotEligibleError) and error.sent,
        error=type(error).__name__,
        verdict=decided.verdict if decided is not None else None,
        reason=decided.reason if decided is not None else None,
    )


def keep_alive_sent(organization: str | None, model: str, at: datetime) -> KeepAliveSent:
    """Return the event of a keep-alive that ``model`` answered."""
    message = f"A keep-alive was sent, and {model} answered it."
    return KeepAliveSent(at=at, organization=organization, message=message, model=model)


def keep_alive_failed(organization: str | None, error: KeepAliveError, now: datetime) -> KeepAliveFailed:
    """Return the event of a keep-alive that no model answered."""
    message = str(error)
    return KeepAliveFailed(at=now, organization=organization, message=message, attempts=error.attempts)


def keep_alive_unanswered(eligibility: Eligibility, failed_at: datetime) -> KeepAliveFailed:
    """Return the event of an earlier keep-alive that failed, if no inference is known since."""
    return KeepAliveFailed(
        at=failed_at,
        organization=eligibility.organization,
        message=f"On {format_time(failed_at)} no model answered a keep-alive, and no inference is known "
        "since. "
        "To try again and see why, run: finetune-guard keep-alive",
    )


def verdict_changed(eligibility: Eligibility, previous: Verdict) -> VerdictChanged:
    """Return the event of a changed verdict."""
    verdict = eligibility.verdict
    now_it_is = {
        Verdict.ELIGIBLE: "Fine-tuning jobs can be created",
        Verdict.INELIGIBLE: "Fine-tuning jobs can't be created",
        Verdict.UNKNOWN: "It is not known whether fine-tuning jobs can be created",
    }[verdict]
    return VerdictChanged(
        at=eligibility.checked_at,
        organization=eligibility.organization,
        message=f"{now_it_is}: {describe_cause(eligibility)}. To see what to do, run: finetune-guard status",
        verdict=verdict,
        reason=eligibility.reason,
        previous=previous,
    )


def window_closing(eligibility: Eligibility, within_days: int) -> WindowClosing:
    """Return the event that the time for creating jobs ends soon; ``jobs_until`` must be known."""
    until, now = eligibility.jobs_until, eligibility.checked_at
    assert until is not None
    then = (
        "The window closes then. To renew it, run: finetune-guard keep-alive"
        if until == eligibility.window_closes_at
        else f"From {eligibility.creation_ends_on} on nobody can create fine-tuning jobs any more. Create "
        "those that are still needed before."
    )
    return WindowClosing(
        at=now,
        organization=eligibility.organization,
        message=f"Fine-tuning jobs can be created until {format_time(until)} if nothing changes. {then}",
        jobs_until=until,
        remaining=until - now,
        within_days=within_days,
    )


def model_ending(
    organization: str | None, models: Sequence[str], ends_on: date, within_days: int, now: datetime
) -> ModelEnding:
    """Return the event of models that end on one day."""
    days_left = (ends_on - now.date()).days
    named = ", ".join(models[:_MOST_NAMED])
    more = f" and {len(models) - _MOST_NAMED:,} more" if len(models) > _MOST_NAMED else ""
    when = {0: "today", 1: "tomorrow"}.get(days_left, f"in {days_left} days")
    return ModelEnding(
        at=now,
        organization=organization,
        message=f"{named}{more} {'ends' if len(models) == 1 else 'end'} on {ends_on}, {when} (give or take "
        "one day). Calls go on until then. Plan the move to another model. To see what replaces it, run: "
        "finetune-guard models",
        models=tuple(models),
        ends_on=ends_on,
        days_left=days_left,
        within_days=within_days,
    )


def deployment_ending(end: DeploymentEnd, within_days: int, now: datetime) -> DeploymentEnding:
    """Return the event of a deployment that ends soon."""
    deployment = end.deployment
    named = f"{deployment.name} at {deployment.resource}"
    message = (
        f"The base model of {named} retires: {retirement_in_words(deployment)}. Plan the move to another."
    )
    if end.kind == "idle":
        message = (
            f"{named}: {end_in_words(deployment, now)}. {idle_rule(deployment.policy)} To see all, run: "
            "finetune-guard deployments"
        )
    return DeploymentEnding(
        at=now,
        organization=deployment.resource,
        message=message,
        resource=deployment.resource,
        deployment=deployment.name,
        cause=end.kind,
        ends_on=end.day,
        days_left=(end.day - now.date()).days,
        within_days=within_days,
    )


def history_unavailable(location: str, error: BaseException, now: datetime) -> HistoryUnavailable:
    """Return the event of a history that can't be read or written."""
    message = f"The history at {location} can't be used; calls go on without it: {error}"
    return HistoryUnavailable(at=now, message=message, location=location)
