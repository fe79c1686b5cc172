"""Decide whether a call goes through, with or without warnings, or is stopped.

| What is known | verdict | raise | warn, allow |
|---|---|---|---|
| the closing date has passed everywhere on Earth | ineligible | stopped | stopped |
| the API refused a job lately, and nothing later disproves it | ineligible | stopped | stopped |
| the organization's usage, read just now, shows nothing in the window | ineligible | stopped | through |
| an inference older than the window, seen locally only | unknown | stopped | through |
| nothing, or no trace of earlier fine-tuning | unknown | stopped | through |
| a date of the policy is being crossed | unknown | through | through |
| the local clock and the API's answers contradict each other | unknown | through | through |
| a refusal is no longer recent, or may not be the latest that happened | unknown | through | through |
| the history can't be read | unknown | through | through |

An upload for fine-tuning is stopped exactly when a job created now would be. ``"warn"`` lets the same calls
through as ``"allow"``, with a warning. A job always warns in the last four rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import openai

from finetune_guard.domain.errors import (
    EligibilityWarning,
    FineTuneGuardError,
    FineTuneGuardWarning,
    FineTuningClosedError,
    FineTuningRefusedError,
    HistoryUnavailableWarning,
    InferenceWindowExpiredError,
    KeepAliveError,
    NeverFineTunedError,
    NoInferenceRecordedError,
    NotEligibleError,
    PolicyBoundaryWarning,
    UsageSyncError,
)
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.rules import messages

Failure: TypeAlias = KeepAliveError | UsageSyncError | openai.APIError
"""The error of a request that the guard made before the call."""

OnUnknown: TypeAlias = Literal["raise", "warn", "allow"]

_ERRORS: dict[Reason, type[NotEligibleError]] = {
    Reason.CLOSED: FineTuningClosedError,
    Reason.REFUSED: FineTuningRefusedError,
    Reason.NO_RECENT_INFERENCE: InferenceWindowExpiredError,
    Reason.WINDOW_EXPIRED: InferenceWindowExpiredError,
    Reason.WINDOW_EDGE: InferenceWindowExpiredError,
    Reason.NO_INFERENCE_RECORDED: NoInferenceRecordedError,
    Reason.NEVER_FINE_TUNED: NeverFineTunedError,
}
"""The reasons that stop a call, with their errors; any other lets it through."""

_ALWAYS_STOPPED = (Reason.CLOSED, Reason.REFUSED)

_ALWAYS_WARNED: dict[Reason, type[FineTuneGuardWarning]] = {
    Reason.POLICY_BOUNDARY: PolicyBoundaryWarning,
    Reason.CLOCK_IN_DOUBT: EligibilityWarning,
    Reason.REFUSAL_IN_DOUBT: EligibilityWarning,
    Reason.HISTORY_UNAVAILABLE: HistoryUnavailableWarning,
}


@dataclass(frozen=True)
class Proceed:
    """The call goes through, with warnings or without."""

    warnings: tuple[FineTuneGuardWarning, ...] = ()


@dataclass(frozen=True)
class Stop:
    """The call is stopped: ``error`` is raised, chained to ``cause``."""

    error: FineTuneGuardError
    cause: Failure | None = None


Decision: TypeAlias = Proceed | Stop


def enforce(
    call: GuardedCall,
    eligibility: Eligibility,
    policy: AccessPolicy,
    on_unknown: OnUnknown,
    *,
    failures: Sequence[Failure] = (),
    url: str | None = None,
) -> Decision:
    """Decide about ``call`` by the module's table.

    An error is chained to the last of the ``failures``, and its request shows ``url``.
    """
    reason = eligibility.reason
    kind = _ERRORS.get(reason)
    if kind is not None and (on_unknown == "raise" or reason in _ALWAYS_STOPPED):
        message = messages.stopped(call, eligibility, policy, failures)
        error = kind(message, eligibility=eligibility, url=url)
        return Stop(error, failures[-1] if failures else None)
    warns: type[FineTuneGuardWarning] | None = None
    if on_unknown == "warn" or isinstance(call, JobCreation):
        warns = _ALWAYS_WARNED.get(reason)
    if on_unknown == "warn" and kind is not None:
        warns = EligibilityWarning
    return Proceed((warns(messages.let_through(call, eligibility)),) if warns is not None else ())
