"""Decide whether an organization may create fine-tuning jobs at a given time.

The first of these that holds decides:

1. The closing date has passed everywhere on Earth: ``ineligible`` (``closed``).
2. The API refused a job less than ``refusal_ttl`` ago, and no inference or created job may be as late as that
   refusal: ``ineligible`` (``refused``).
3. No rule holds yet, or earlier fine-tuning is required and there is a trace of it: ``eligible``.
4. ``now - last_inference < window``: ``eligible`` (``recent_inference``). An inference dated after ``now``
   counts as one of ``now``.
5. The time of the last inference is known to the minute, hour or day only, and part of that lies inside the
   window: ``unknown`` (``window_edge``).
6. The organization's usage was read without a gap since the window began, up to some minutes ago, and shows
   nothing in the window: ``ineligible`` (``no_recent_inference``).
7. The last inference is older than the window, but the usage was not read: ``unknown`` (``window_expired``).
   Another program may have run one since.
8. Nothing is known: ``unknown`` (``no_inference_recorded``), or ``never_fine_tuned`` if a search for earlier
   fine-tuning came back empty. That is no proof either: a key sees its own project only.

A verdict that would be ``eligible`` is ``unknown`` (``refusal_in_doubt``) while an earlier refusal is neither
recent enough for rule 2 nor followed by a later inference or job. While a date of the policy is being crossed
somewhere on Earth, both phases are checked; if only one of them gives ``eligible``, the verdict is
``unknown`` (``policy_boundary``). The same holds for two times of which one is right (``clock_in_doubt``).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_guard.domain.facts import Coverage
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.organizations import is_named
from finetune_guard.domain.policy import AccessPolicy, Phase, Requirement, aware_utc
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.messages import remedy_for

_VERDICTS = {
    Reason.NO_REQUIREMENT: Verdict.ELIGIBLE,
    Reason.EARLIER_FINE_TUNING: Verdict.ELIGIBLE,
    Reason.RECENT_INFERENCE: Verdict.ELIGIBLE,
    Reason.CLOSED: Verdict.INELIGIBLE,
    Reason.REFUSED: Verdict.INELIGIBLE,
    Reason.NO_RECENT_INFERENCE: Verdict.INELIGIBLE,
}
"""All other reasons mean ``unknown``."""

FRESH = timedelta(minutes=10)
"""How old a reading of the organization's usage may be to prove that there was no inference."""

_LATELY = timedelta(days=1)
"""How old a reading of the organization's usage may be to count as coverage of the organization."""

REFUSAL_TTL = timedelta(days=1)
"""How long a refusal of the API counts by default."""


def decide(
    policy: AccessPolicy,
    evidence: Evidence,
    now: datetime,
    refusal_ttl: timedelta = REFUSAL_TTL,
    *,
    or_at: datetime | None = None,
) -> Eligibility:
    """Return whether the organization of ``evidence`` may create jobs at ``now``, an aware datetime.

    With ``or_at``, the API may be right that it is that time instead: the verdict must hold at both, and is
    explained as of the earlier one.
    """
    times = sorted({aware_utc(now), aware_utc(or_at or now)})
    reasons = [_reason(phase, evidence, at, refusal_ttl) for at in times for phase in policy.phases_at(at)]
    eligible, now = [_verdict(reason) is Verdict.ELIGIBLE for reason in reasons], times[0]
    if any(eligible) and not all(eligible):
        differ = Reason.POLICY_BOUNDARY if len(times) == 1 else Reason.CLOCK_IN_DOUBT
        return explained(policy, evidence, now, differ)
    # If none gives eligible, an unknown verdict wins over an ineligible one.
    unsure = (reason for reason in reasons if _verdict(reason) is Verdict.UNKNOWN)
    return explained(policy, evidence, now, next(unsure, reasons[0]))


def explained(policy: AccessPolicy, evidence: Evidence, now: datetime, reason: Reason) -> Eligibility:
    """Return the eligibility for ``reason``, with the dates and evidence behind it."""
    phases = policy.phases_at(now)
    closes = _window_closes_at(phases, evidence, now)
    is_open = closes is not None and now < closes
    covered_until = evidence.usage_read_until(now - (policy.window or timedelta(0)))
    is_covered = covered_until is not None and now - covered_until < _LATELY
    closing = policy.closing
    ends = closing.begins[0] if closing is not None and closing.begins is not None else None
    verdict = _verdict(reason)
    limits = [limit for limit in (closes, ends) if limit is not None and verdict is Verdict.ELIGIBLE]
    return Eligibility(
        verdict=verdict,
        reason=reason,
        organization=evidence.organization if is_named(evidence.organization) else None,
        phase=phases[0],
        last_inference=evidence.last_inference,
        window_closes_at=closes if is_open else None,
        window_closed_at=None if is_open else closes,
        remaining=closes - now if closes is not None and is_open else None,
        creation_ends_on=closing.starts_on if closing is not None else None,
        jobs_until=min(limits, default=None),
        coverage=Coverage.ORGANIZATION if is_covered else Coverage.LOCAL,
        covered_until=covered_until,
        refusal=evidence.refusal if reason in (Reason.REFUSED, Reason.REFUSAL_IN_DOUBT) else None,
        checked_at=now,
        remedy=remedy_for(reason),
    )


def _verdict(reason: Reason) -> Verdict:
    return _VERDICTS.get(reason, Verdict.UNKNOWN)


def _reason(phase: Phase, evidence: Evidence, now: datetime, refusal_ttl: timedelta) -> Reason:
    if phase.requirement is Requirement.CLOSED:
        return Reason.CLOSED
    if _refusal_stands(evidence, now, refusal_ttl):
        return Reason.REFUSED
    if phase.requirement is Requirement.NONE:
        reason = Reason.NO_REQUIREMENT
    elif phase.requirement is Requirement.EARLIER_FINE_TUNING:
        reason = Reason.EARLIER_FINE_TUNING if _has_fine_tuned(evidence) else _nothing_known(evidence)
    else:
        reason = _recently_used(evidence, phase.window or timedelta(0), now)
    if _verdict(reason) is Verdict.ELIGIBLE and not _refusal_is_disproved(evidence):
        return Reason.REFUSAL_IN_DOUBT
    return reason


def _recently_used(evidence: Evidence, window: timedelta, now: datetime) -> Reason:
    last, since = evidence.last_inference, now - window
    if last is not None and last.at > since:
        return Reason.RECENT_INFERENCE
    if last is not None and last.latest_at > since:
        return Reason.WINDOW_EDGE
    read_until = evidence.usage_read_until(since)
    if read_until is not None and abs(now - read_until) < FRESH:
        return Reason.NO_RECENT_INFERENCE
    return Reason.WINDOW_EXPIRED if last is not None else _nothing_known(evidence)


def _refusal_stands(evidence: Evidence, now: datetime, refusal_ttl: timedelta) -> bool:
    """Whether a recent refusal still counts: no inference or job can be later."""
    refusal, last = evidence.refusal, evidence.last_inference
    if refusal is None or abs(now - refusal.at) >= refusal_ttl:
        return False
    later = [evidence.job_created_at, last.latest_at if last is not None else None]
    return all(at is None or at < refusal.at for at in later)


def _refusal_is_disproved(evidence: Evidence) -> bool:
    """Whether there was no refusal, or an inference or a created job is known to be later."""
    refusal, last = evidence.refusal, evidence.last_inference
    later = [evidence.job_created_at, last.at if last is not None else None]
    return refusal is None or any(at is not None and at > refusal.at for at in later)


def _has_fine_tuned(evidence: Evidence) -> bool:
    return evidence.fine_tuned_by is not None or evidence.last_inference is not None


def _nothing_known(evidence: Evidence) -> Reason:
    if evidence.no_trace_at is not None and not _has_fine_tuned(evidence):
        return Reason.NEVER_FINE_TUNED
    return Reason.NO_INFERENCE_RECORDED


def _window_closes_at(phases: tuple[Phase, ...], evidence: Evidence, now: datetime) -> datetime | None:
    window = next((phase.window for phase in phases if phase.window is not None), None)
    last = evidence.last_inference
    return min(last.at, now) + window if last is not None and window is not None else None
