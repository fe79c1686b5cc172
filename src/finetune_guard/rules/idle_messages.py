"""Texts about deployments that end when nobody calls them."""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_guard.domain.catalog import PublishedDate
from finetune_guard.domain.idle_policy import IdlePolicy
from finetune_guard.rules.deployments import Deployment, DeploymentState
from finetune_guard.rules.keep_alive import KeepAliveOutcome, NotSent
from finetune_guard.rules.messages import format_duration, format_time

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_CONSEQUENCES = {"deleted": "deleted", "stopped": "stopped", "access_lost": "no longer accessible"}


def idle_rule(policy: IdlePolicy) -> str:
    """Return a provider's rule about idle deployments, in a sentence."""
    undone = policy.restore or ("That can be undone." if policy.reversible else "That can't be undone.")
    tuned = "fine-tuned " if policy.covers == "fine_tuned" else ""
    return (
        f"A {tuned}{policy.subject} without a call of {' or '.join(policy.resets)} for "
        f"{format_duration(policy.window)} is {_CONSEQUENCES[policy.consequence]}. {undone}"
    )


def nearly_idle(resource: str, name: str, policy: IdlePolicy, before: datetime, at: datetime) -> str:
    """Return the warning for a deployment that was called shortly before its end."""
    return (
        f"{name} at {resource} was not called for {format_duration(_rounded(at - before))}. "
        f"{idle_rule(policy)}\n"
        f"This call has put that off. To see when deployments end: finetune-guard deployments. To keep this "
        f'one alive, set GuardConfig(keep_alive=KeepAlive(deployments=["{name}"])). {policy.cost}'
    )


def end_in_words(deployment: Deployment, now: datetime) -> str:
    """Return a deployment's state and end, as a clause."""
    ended, ends, end = deployment.ended, deployment.ends, _CONSEQUENCES[deployment.policy.consequence]
    if ended is not None:
        known = "not found" if deployment.state is DeploymentState.GONE else "forgotten"
        return f"{known} on {format_time(ended.at)}; a later call takes that back"
    if deployment.state is DeploymentState.BASE_MODEL:
        said = "it serves" if deployment.last_call is None else "its answers name"
        return f"no end: {said} a base model"
    if deployment.last_call is None:
        since = f"; deployed on {deployment.deployed_at.date()}" if deployment.deployed_at is not None else ""
        return f"no call known: {end} {format_duration(deployment.policy.window)} after the last one{since}"
    if ends is None:
        return "no end known: it still exists, so another program has called it since"
    last_day = deployment.last_call + deployment.policy.window
    on = format_time(ends[0]) if ends[0] == ends[1] else f"{last_day:%Y-%m-%d}, give or take a day"
    if now < ends[0]:
        return (
            f"{end} on {on}, if nobody calls it (in {format_duration(_rounded(ends[0] - now))} at "
            "the soonest)"
        )
    is_over = now >= ends[1]
    return (
        f"{end} since {on}, unless another program has called it" if is_over else f"may be {end} by now: {on}"
    )


def retirement_in_words(deployment: Deployment) -> str:
    """Return when training and deployments of the base model retire, as a clause; empty where unknown."""
    found = deployment.retirement
    if found is None:
        return ""
    return f"deployments {_dated(found.deployments)}, training {_dated(found.training)}"


_NOT_KEPT = {
    NotSent.NOT_DUE: "its end is not near",
    NotSent.RENEWED_BY_ANOTHER: "another thread or process has just called it",
    NotSent.ANOTHER_IS_SENDING: "another thread or process is sending one; whether it succeeds is not known",
    NotSent.HISTORY_UNAVAILABLE: "the history can't be read, so that one may have been sent already",
    NotSent.DEPLOYMENT_GONE: "it was not found when it was last called. Deploy it again, and call it once",
    NotSent.FORGOTTEN: "it was forgotten with finetune-guard deployments --forget; a call takes that back",
}


def kept_alive(outcome: KeepAliveOutcome, policy: IdlePolicy) -> str:
    """Return the result of a deployment's keep-alive, in sentences."""
    if outcome.at is None:
        return f"Not sent to {outcome.model}: {_NOT_KEPT[outcome.reason or NotSent.NOT_DUE]}."
    until = f"{outcome.at + policy.window:%Y-%m-%d}"
    return f"Sent: {outcome.model} answered, and goes on until about {until}. {policy.cost}"


def _dated(published: PublishedDate) -> str:
    return f"{'not before' if published.kind == 'no_earlier_than' else 'on'} {published.day}"


def _rounded(duration: timedelta) -> timedelta:
    unit = _DAY if duration >= _DAY else _HOUR if duration >= _HOUR else timedelta(minutes=1)
    return duration // unit * unit
