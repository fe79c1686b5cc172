"""Whether an organization may create fine-tuning jobs at a given moment.

The rules, in the order in which they are asked:

1. A phase without a requirement lets everybody create jobs.
2. From the policy's last date on nobody can.
3. A refusal by the API stands until an inference, or a job that was created, later than it is known.
4. Where earlier fine-tuning is required, any trace of it suffices. A search that found no trace is
   not proof that there is none: a key sees its own project only.
5. Where a recent inference is required, the organization is eligible while
   ``now - last_inference < window``; an inference dated after ``now`` counts as one of ``now`` here.
   Where its time is known to the minute, hour or day only, and the window's edge lies in that, nobody
   here knows. Where none is known, that is proof only if the whole organization's usage of the window
   was read, and that less than a day ago.
6. While a date of the policy is being crossed somewhere on Earth, both phases are asked. If they
   agree, that is the answer; if not, nobody but the API knows.

What can't be known is ``unknown``, never a guess. No I/O and no clock here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_guard.domain.history import Coverage, Evidence, Inference, latest
from finetune_guard.domain.organizations import is_named
from finetune_guard.domain.policy import AccessPolicy, Phase, Requirement, aware_utc
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict

_VERDICTS = {
    Reason.NO_REQUIREMENT: Verdict.ELIGIBLE,
    Reason.EARLIER_FINE_TUNING: Verdict.ELIGIBLE,
    Reason.RECENT_INFERENCE: Verdict.ELIGIBLE,
    Reason.WINDOW_EXPIRED: Verdict.INELIGIBLE,
    Reason.WINDOW_EDGE: Verdict.UNKNOWN,
    Reason.NO_RECENT_INFERENCE: Verdict.INELIGIBLE,
    Reason.CLOSED: Verdict.INELIGIBLE,
    Reason.REFUSED: Verdict.INELIGIBLE,
    Reason.NO_INFERENCE_RECORDED: Verdict.UNKNOWN,
    Reason.NEVER_FINE_TUNED: Verdict.UNKNOWN,
    Reason.POLICY_BOUNDARY: Verdict.UNKNOWN,
    Reason.HISTORY_UNAVAILABLE: Verdict.UNKNOWN,
    Reason.NOT_GUARDED: Verdict.UNKNOWN,
}

FRESH = timedelta(days=1)
"""How old a reading of the organization's usage may be to prove that there was no inference."""

_RENEW = (
    "Run an inference on a fine-tuned model now: client.guard.keep_alive(), or "
    "GuardConfig(keep_alive=KeepAlive()) to have one sent before a job is created. Whether that opens a "
    "lapsed window again is not published; the API will tell."
)
_REMEDIES = {
    Reason.WINDOW_EXPIRED: f"{_RENEW} If another program ran one since, client.guard.sync() finds it with an "
    "admin key, and client.guard.record(model, at=...) notes it without.",
    Reason.WINDOW_EDGE: f'{_RENEW} Or let the API decide with GuardConfig(on_unknown="allow").',
    Reason.NO_RECENT_INFERENCE: f"{_RENEW} An inference of the past minutes may not be in the usage yet: how "
    "far it lags is not published. Note it with client.guard.record(model, at=...).",
    Reason.NO_INFERENCE_RECORDED: "Run an inference on a fine-tuned model (client.guard.keep_alive() sends "
    "the smallest one), read the organization's usage with an admin key (client.guard.sync()), note an "
    "inference that another program ran with client.guard.record(model, at=...), or let the API decide with "
    'GuardConfig(on_unknown="allow").',
    Reason.NEVER_FINE_TUNED: "This key sees neither a fine-tuned model nor a fine-tuning job. If the "
    "organization has them in another project, use a key of that project, or let the API decide with "
    'GuardConfig(on_unknown="allow").',
    Reason.REFUSED: "The API's word stands until an inference on a fine-tuned model later than its refusal "
    "is known. client.guard.keep_alive(force=True) sends one; whether that opens the window again is not "
    "published.",
    Reason.CLOSED: "No job can be created any more. Fine-tuned models go on answering until their base model "
    "is shut down: plan the move to another model before that day.",
    Reason.POLICY_BOUNDARY: "Create the job now if it matters: the API decides, and its answer may change "
    "within hours.",
    Reason.HISTORY_UNAVAILABLE: "Mend the store, or name another with GuardConfig(store=...) or "
    "FINETUNE_GUARD_STORE. Until then the API decides.",
    Reason.NOT_GUARDED: "Name the host in GuardConfig(hosts=...) if the policy holds behind it. Azure has "
    "other rules: its clients are never guarded.",
}


def decide(policy: AccessPolicy, evidence: Evidence, now: datetime) -> Eligibility:
    """Return whether the organization of ``evidence`` may create jobs at ``now``.

    Args:
        policy: The rules.
        evidence: What is known of the organization.
        now: The moment to decide for, with a time zone.

    Raises:
        ValueError: ``now`` has no time zone.
    """
    now = aware_utc(now)
    phases = policy.phases_at(now)
    reasons = [_reason(phase, evidence, now) for phase in phases]
    verdicts = [_VERDICTS[reason] for reason in reasons]
    agreed = verdicts[0] is verdicts[-1] or verdicts[0] is Verdict.UNKNOWN
    reason = reasons[0] if agreed else Reason.POLICY_BOUNDARY
    return explained(policy, evidence, now, reason)


def explained(policy: AccessPolicy, evidence: Evidence, now: datetime, reason: Reason) -> Eligibility:
    """Return the eligibility that ``reason`` means, with everything that is known beside it."""
    phases = policy.phases_at(now)
    closes = _window_closes_at(phases, evidence, now)
    is_open = closes is not None and now < closes
    covered_until = evidence.usage_read_until(now - (policy.window or timedelta(0)))
    return Eligibility(
        verdict=_VERDICTS[reason],
        reason=reason,
        organization=evidence.organization if is_named(evidence.organization) else None,
        phase=phases[0],
        last_inference=evidence.last_inference,
        window_closes_at=closes if is_open else None,
        window_closed_at=None if is_open else closes,
        remaining=closes - now if closes is not None and is_open else None,
        creation_ends_on=policy.closing.starts_on if policy.closing is not None else None,
        coverage=Coverage.LOCAL if covered_until is None else Coverage.ORGANIZATION,
        covered_until=covered_until,
        refusal=evidence.refusal if reason is Reason.REFUSED else None,
        checked_at=now,
        remedy=_REMEDIES.get(reason),
    )


def _reason(phase: Phase, evidence: Evidence, now: datetime) -> Reason:
    if phase.requirement is Requirement.CLOSED:
        return Reason.CLOSED
    if _refusal_stands(evidence):
        return Reason.REFUSED
    if phase.requirement is Requirement.NONE:
        return Reason.NO_REQUIREMENT
    if phase.requirement is Requirement.EARLIER_FINE_TUNING:
        return Reason.EARLIER_FINE_TUNING if _has_fine_tuned(evidence) else _nothing_known(evidence)
    return _recently_used(evidence, phase.window or timedelta(0), now)


def _recently_used(evidence: Evidence, window: timedelta, now: datetime) -> Reason:
    last = _effective(evidence.last_inference, now)
    if last is not None and evidence.last_inference is not None:
        if now - last < window:
            return Reason.RECENT_INFERENCE
        may_be_open = now - last - evidence.last_inference.within < window
        return Reason.WINDOW_EDGE if may_be_open else Reason.WINDOW_EXPIRED
    return Reason.NO_RECENT_INFERENCE if _nothing_there(evidence, window, now) else _nothing_known(evidence)


def _refusal_stands(evidence: Evidence) -> bool:
    """Whether nothing later ends it. All times are the API's as a rule, so that ours doesn't matter."""
    if evidence.refusal is None:
        return False
    last = evidence.last_inference.at if evidence.last_inference is not None else None
    later = latest(last, evidence.job_created_at)
    return later is None or evidence.refusal.at >= later


def _has_fine_tuned(evidence: Evidence) -> bool:
    return evidence.fine_tuned_by is not None or evidence.last_inference is not None


def _nothing_known(evidence: Evidence) -> Reason:
    if evidence.no_trace_at is not None and not _has_fine_tuned(evidence):
        return Reason.NEVER_FINE_TUNED
    return Reason.NO_INFERENCE_RECORDED


def _nothing_there(evidence: Evidence, window: timedelta, now: datetime) -> bool:
    """Whether the usage read proves that nobody in the organization ran an inference in the window."""
    until = evidence.usage_read_until(now - window)
    return until is not None and now - until < FRESH


def _effective(inference: Inference | None, now: datetime) -> datetime | None:
    """The time an inference counts from; a clock that was ahead doesn't make it later than now."""
    return min(inference.at, now) if inference is not None else None


def _window_closes_at(phases: tuple[Phase, ...], evidence: Evidence, now: datetime) -> datetime | None:
    window = next((phase.window for phase in phases if phase.window is not None), None)
    last = _effective(evidence.last_inference, now)
    return last + window if last is not None and window is not None else None
