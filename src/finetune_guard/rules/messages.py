"""The texts of errors and warnings about eligibility: what happened, the rule, the evidence, the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import openai

from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.facts import Coverage
from finetune_guard.domain.policy import AccessPolicy, Requirement
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.openai_api.errors import status_and_code
from finetune_guard.openai_api.requests import GuardedCall, JobCreation

# Remedies. What helps most people comes first.

ONE_CALL = "client.with_options(guard=GuardConfig(enabled=False))"
_LET_THROUGH = f'To let the API decide, set GuardConfig(on_unknown="warn"), or for one call use {ONE_CALL}.'
_FIND_ANOTHERS = (
    "If another program ran an inference, read the organization's usage with an admin key (finetune-guard "
    "sync, or client.guard.sync()), or record the inference with client.guard.record(model, at=...)."
)
_RENEW = (
    "To run one now, call client.guard.keep_alive(), or set GuardConfig(keep_alive=KeepAlive()) to have one "
    "sent before a job."
)
_REOPENS = "Whether an inference reopens a window that has closed is not published."

_REMEDIES: Mapping[Reason, str] = {
    Reason.WINDOW_EXPIRED: f"{_FIND_ANOTHERS} {_LET_THROUGH} {_RENEW} {_REOPENS}",
    Reason.WINDOW_EDGE: f"{_FIND_ANOTHERS} {_LET_THROUGH} {_RENEW}",
    Reason.NO_RECENT_INFERENCE: f"{_RENEW} {_REOPENS} Usage appears with a lag: record an inference of the "
    f"past minutes with client.guard.record(model, at=...). {_LET_THROUGH}",
    Reason.NO_INFERENCE_RECORDED: f"{_FIND_ANOTHERS} {_LET_THROUGH} {_RENEW}",
    Reason.NEVER_FINE_TUNED: "If the organization has fine-tuned in another project, use a key of that "
    f"project. {_FIND_ANOTHERS} {_LET_THROUGH}",
    Reason.REFUSED: f"To ask the API again, use {ONE_CALL} for one call. The guard asks again by itself "
    "once the refusal is older than GuardConfig(refusal_ttl=...), or after a later inference on a fine-tuned "
    f"model. client.guard.keep_alive(force=True) sends one. {_REOPENS}",
    Reason.REFUSAL_IN_DOUBT: "Create the job: the API decides, and its answer is recorded.",
    Reason.CLOSED: "Plan the move to another model: a fine-tuned model answers until its base model is shut "
    f"down. If the provider has moved the date, {ONE_CALL} lets one call through.",
    Reason.POLICY_BOUNDARY: "Create the job now if it matters: the API decides, and its answer may change "
    "within hours.",
    Reason.CLOCK_IN_DOUBT: "Set this machine's clock, or ask again in some seconds: two answers of the API "
    "that agree settle it.",
    Reason.HISTORY_UNAVAILABLE: "Repair the store, or name another one with GuardConfig(store=...) or "
    "FINETUNE_GUARD_STORE. Until then the API decides.",
    Reason.NOT_GUARDED: "If the policy applies behind this host, name the host in GuardConfig(hosts=...). "
    "Azure has no such rule.",
}

IDLE_POLICY_ONLY = (
    "No rule about creating jobs is known for this host, but one about deployments that nobody calls: "
    "see client.guard.deployments(), or finetune-guard deployments."
)
SWITCHED_OFF = "The guard is switched off: unset FINETUNE_GUARD_ENABLED, or pass GuardConfig(enabled=True)."


def remedy_for(reason: Reason) -> str | None:
    """Return what to do now; None if there is nothing to do."""
    return _REMEDIES.get(reason)


# Calls that are stopped or that go through with a warning.


def stopped(
    call: GuardedCall, eligibility: Eligibility, policy: AccessPolicy, failures: Sequence[object] = ()
) -> str:
    """Return the message of a stopped call's error."""
    what = (
        "fine-tuning job was not created"
        if isinstance(call, JobCreation)
        else "training file was not uploaded"
    )
    lines = [
        f"The {what}: {describe_cause(eligibility)}.",
        f"Rule: {describe_rule(eligibility, policy)}",
        f"Evidence: {describe_evidence(eligibility)}.",
        *(_describe_failure(failure) for failure in failures),
    ]
    if eligibility.remedy is not None:
        lines.append(f"What to do: {eligibility.remedy}")
    return "\n".join(lines)


def let_through(call: GuardedCall, eligibility: Eligibility) -> str:
    """Return the warning about a call that goes through although its eligibility is unknown."""
    what = "fine-tuning job" if isinstance(call, JobCreation) else "training file"
    remedy = (eligibility.remedy or "").replace(f" {_LET_THROUGH}", "")  # it does
    return f"The API decides about this {what}: {describe_cause(eligibility)}. {remedy}"


def _describe_failure(failure: object) -> str:
    if isinstance(failure, openai.APIError):  # its own wording can hold parts of a key
        return f"The API could not be asked which models and jobs this key sees: {status_and_code(failure)}."
    return f"{'Keep-alive' if isinstance(failure, KeepAliveError) else 'Usage'}: {failure}"


def describe_cause(eligibility: Eligibility) -> str:
    """Return the reason for the verdict, as a clause without a full stop."""
    who = f"organization {eligibility.organization}" if eligibility.organization else "this organization"
    closes, closed = format_time(eligibility.window_closes_at), format_time(eligibility.window_closed_at)
    refused = format_time(eligibility.refusal.at if eligibility.refusal is not None else None)
    is_cut_short = eligibility.jobs_until not in {None, eligibility.window_closes_at}
    ends = f"; from {eligibility.creation_ends_on} on nobody can create jobs" if is_cut_short else ""
    return {
        Reason.NO_REQUIREMENT: "no rule restricts the creation of fine-tuning jobs yet",
        Reason.EARLIER_FINE_TUNING: f"{who} has fine-tuned before",
        Reason.RECENT_INFERENCE: f"{who} ran an inference on a fine-tuned model, and the window is "
        f"open until {closes}{ends}",
        Reason.WINDOW_EXPIRED: f"the last known inference of {who} on a fine-tuned model is too old: if "
        f"there was no later one, the window closed on {closed}",
        Reason.WINDOW_EDGE: f"the window of {who} closed on {closed} or some hours later, and the time of "
        "the last inference is not known more exactly",
        Reason.NO_RECENT_INFERENCE: f"the usage of {who} shows no inference on a fine-tuned model within the "
        "window",
        Reason.CLOSED: f"since {eligibility.creation_ends_on} nobody can create fine-tuning jobs any more",
        Reason.REFUSED: f"the API itself refused a job of {who} on {refused}",
        Reason.REFUSAL_IN_DOUBT: f"the API refused a job of {who} on {refused}, and may answer otherwise now",
        Reason.NO_INFERENCE_RECORDED: f"no inference of {who} on a fine-tuned model is known",
        Reason.NEVER_FINE_TUNED: f"no trace of earlier fine-tuning of {who} was found with this key",
        Reason.POLICY_BOUNDARY: "a date of the policy is being crossed, and its hour and time zone are not "
        "published",
        Reason.CLOCK_IN_DOUBT: "this machine's clock and the time in the API's answers are far apart, and "
        "which is right is not known yet",
        Reason.HISTORY_UNAVAILABLE: "the history of inferences can't be read",
        Reason.NOT_GUARDED: "the guard is switched off, or the policy is not known to apply to this "
        "client's host",
    }[eligibility.reason]


def describe_rule(eligibility: Eligibility, policy: AccessPolicy) -> str:
    """Return the rule that decides, in the provider's words, with its date and source."""
    phase, required = eligibility.phase, Requirement.EARLIER_FINE_TUNING
    if eligibility.reason is Reason.NEVER_FINE_TUNED:
        phase = next((each for each in policy.phases if each.requirement is required), phase)
    if phase.starts_on is None:
        return f"none of {policy.name} holds yet."
    return f'since {phase.starts_on}: "{phase.rule}" ({policy.source})'


def describe_evidence(eligibility: Eligibility) -> str:
    """Return the evidence for the verdict, as a clause without a full stop."""
    last, known = eligibility.last_inference, "no inference is known"
    if last is not None:
        or_later = (
            f" or up to {format_duration(last.within)} later" if last.within >= timedelta(minutes=2) else ""
        )
        known = (
            f"the last inference known was on {last.model} at {format_time(last.at)}{or_later} "
            f"({last.source})"
        )
    if eligibility.refusal is not None:
        refusal = eligibility.refusal
        known += f'; at {format_time(refusal.at)} the API answered 403 {refusal.code}: "{refusal.message}"'
    if eligibility.covered_until is None:
        return f"{known}; only clients that share this history were seen, not the whole organization"
    until = format_time(eligibility.covered_until)
    if eligibility.coverage is Coverage.LOCAL:
        return (
            f"{known}; the organization's usage was read up to {until} only, and after that only clients "
            "that share this history were seen"
        )
    return (
        f"{known}; the whole organization's usage was read up to {until}, and it may lag: what ran shortly "
        "before that may be missing"
    )


_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


def format_time(at: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    return at.strftime("%Y-%m-%d %H:%M UTC") if at is not None else "an unknown day"


def format_duration(duration: timedelta) -> str:
    """Return a duration in days or hours."""
    amount, unit = (duration / _HOUR, "hour") if duration % _DAY else (duration / _DAY, "day")
    return f"{amount:.4g} {unit}{'' if amount == 1 else 's'}"
