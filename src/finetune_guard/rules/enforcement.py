"""From an eligibility to what happens to a call: it goes through, with a warning, or is stopped.

An error's text answers four questions: what was stopped, by which rule, on what evidence, and what
to do now. No I/O and no clock here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import openai

from finetune_guard.domain.errors import (
    FineTuneGuardWarning,
    FineTuningClosedError,
    HistoryUnavailableWarning,
    InferenceWindowExpiredError,
    KeepAliveError,
    NeverFineTunedError,
    NoInferenceRecordedError,
    NotEligibleError,
    PolicyBoundaryWarning,
    UsageSyncError,
)
from finetune_guard.domain.history import Coverage
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.openai_api.errors import in_short
from finetune_guard.openai_api.requests import GuardedCall, JobCreation

_UNDECIDED = (Reason.NO_INFERENCE_RECORDED, Reason.NEVER_FINE_TUNED, Reason.WINDOW_EDGE)

Failure: TypeAlias = KeepAliveError | UsageSyncError | openai.APIError
"""What was tried in order to let a call through, and failed."""

_ERRORS: dict[Reason, type[NotEligibleError]] = {
    Reason.CLOSED: FineTuningClosedError,
    Reason.WINDOW_EXPIRED: InferenceWindowExpiredError,
    Reason.WINDOW_EDGE: InferenceWindowExpiredError,
    Reason.NO_RECENT_INFERENCE: InferenceWindowExpiredError,
    Reason.NO_INFERENCE_RECORDED: NoInferenceRecordedError,
    Reason.NEVER_FINE_TUNED: NeverFineTunedError,
}


def must_stop(call: GuardedCall, eligibility: Eligibility, on_unknown: Literal["raise", "allow"]) -> bool:
    """Whether ``call`` is stopped.

    A sure ``ineligible`` stops jobs and uploads. What is unknown stops jobs only, and only where
    ``on_unknown`` says so; never when a date is being crossed or our own history is out of order.
    """
    if eligibility.verdict is Verdict.INELIGIBLE:
        return True
    return eligibility.reason in _UNDECIDED and isinstance(call, JobCreation) and on_unknown == "raise"


def stopping_error(
    call: GuardedCall, eligibility: Eligibility, policy: AccessPolicy, failures: Sequence[Failure] = ()
) -> NotEligibleError:
    """Return the error for a stopped call; a refusal of the API itself is built elsewhere."""
    return _ERRORS[eligibility.reason](
        stopping_message(call, eligibility, policy, failures), eligibility=eligibility
    )


def stopping_message(
    call: GuardedCall, eligibility: Eligibility, policy: AccessPolicy, failures: Sequence[Failure] = ()
) -> str:
    """Return what a stopped call's error says."""
    what = (
        "fine-tuning job was not created"
        if isinstance(call, JobCreation)
        else "training file was not uploaded"
    )
    lines = [f"The {what}: {cause(eligibility)}.", f"Rule: {rule(eligibility, policy)}"]
    lines.append(f"Evidence: {evidence(eligibility)}.")
    lines += [_what_failed(failure) for failure in failures]
    if eligibility.remedy is not None:
        lines.append(f"What to do: {eligibility.remedy}")
    return "\n".join(lines)


def _what_failed(failure: Failure) -> str:
    if isinstance(failure, openai.APIError):
        return f"The API could not be asked: {in_short(failure)}."
    return f"{'Keep-alive' if isinstance(failure, KeepAliveError) else 'Usage'}: {failure}"


def warning(call: GuardedCall, eligibility: Eligibility) -> FineTuneGuardWarning | None:
    """Return the warning that goes with a call that goes through; None for most."""
    if not isinstance(call, JobCreation):
        return None
    if eligibility.reason is Reason.POLICY_BOUNDARY:
        return PolicyBoundaryWarning(f"The API decides about this fine-tuning job: {cause(eligibility)}.")
    if eligibility.reason is Reason.HISTORY_UNAVAILABLE:
        return HistoryUnavailableWarning(
            f"The API decides about this fine-tuning job: {cause(eligibility)}. {eligibility.remedy}"
        )
    return None


def cause(eligibility: Eligibility) -> str:
    """Return why the verdict is what it is, as a clause without its full stop."""
    who = f"organization {eligibility.organization}" if eligibility.organization else "this organization"
    closes, closed = moment(eligibility.window_closes_at), moment(eligibility.window_closed_at)
    refused = moment(eligibility.refusal.at if eligibility.refusal is not None else None)
    return {
        Reason.NO_REQUIREMENT: "no rule restricts the creation of fine-tuning jobs yet",
        Reason.EARLIER_FINE_TUNING: f"{who} has fine-tuned before",
        Reason.RECENT_INFERENCE: f"{who} ran an inference on a fine-tuned model, and the window is open "
        f"until {closes}{_but_creation_ends(eligibility)}",
        Reason.WINDOW_EXPIRED: f"the latest known inference of {who} on a fine-tuned model is too old, and "
        f"the window closed on {closed}",
        Reason.WINDOW_EDGE: f"the window of {who} closed on {closed} at the earliest, and its usage doesn't "
        "tell the time of the latest inference more exactly",
        Reason.NO_RECENT_INFERENCE: f"the usage of {who} shows no inference on a fine-tuned model within the "
        "window",
        Reason.CLOSED: f"since {eligibility.creation_ends_on} nobody can create fine-tuning jobs any more",
        Reason.REFUSED: f"the API itself refused a job of {who} on {refused}",
        Reason.NO_INFERENCE_RECORDED: f"no inference of {who} on a fine-tuned model is known",
        Reason.NEVER_FINE_TUNED: f"no trace of earlier fine-tuning of {who} was found",
        Reason.POLICY_BOUNDARY: "a date of the policy is being crossed, whose hour and time zone are not "
        "published",
        Reason.HISTORY_UNAVAILABLE: "the history of inferences can't be read",
        Reason.NOT_GUARDED: "the guard is switched off, or the policy is not known to hold behind this "
        "client's host",
    }[eligibility.reason]


def _but_creation_ends(eligibility: Eligibility) -> str:
    """What is to be added where nobody can create jobs any more before the window closes."""
    closes, ends = eligibility.window_closes_at, eligibility.creation_ends_on
    if closes is None or ends is None or closes.date() <= ends:
        return ""
    return f"; from {ends} on nobody can create jobs"


def rule(eligibility: Eligibility, policy: AccessPolicy) -> str:
    """Return the rule that decides, in the provider's words, with its date and source."""
    phase = eligibility.phase
    if phase.starts_on is None:
        return f"none of {policy.name} holds yet."
    return f"since {phase.starts_on}: “{phase.rule}” ({policy.source})"


def evidence(eligibility: Eligibility) -> str:
    """Return what the verdict rests on, as a clause without its full stop."""
    last = eligibility.last_inference
    known = (
        f"the latest inference known was on {last.model} at {moment(last.at)} ({last.source.value})"
        if last is not None
        else "no inference is known"
    )
    if eligibility.refusal is not None:
        refusal = eligibility.refusal
        known += f"; at {moment(refusal.at)} the API answered 403 {refusal.code}: “{refusal.message}”"
    if eligibility.coverage is Coverage.LOCAL:
        return f"{known}; only clients that share this history were seen, not the whole organization"
    until = moment(eligibility.covered_until)
    return f"{known}; the whole organization's usage was read up to {until}, and may lag"


def moment(at: datetime | None) -> str:
    """Return a time to the minute, as people read it."""
    return at.strftime("%Y-%m-%d %H:%M UTC") if at is not None else "an unknown day"
