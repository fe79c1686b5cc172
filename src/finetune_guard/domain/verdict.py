"""Eligibility: whether an organization may create fine-tuning jobs at a given time, and why."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import field_serializer

from finetune_guard.domain.facts import Coverage, Inference, Refusal
from finetune_guard.domain.policy import Phase, UtcDatetime
from finetune_guard.domain.values import StrEnum, Value


class Verdict(StrEnum):
    """Whether jobs may be created."""

    ELIGIBLE = "eligible"
    INELIGIBLE = "ineligible"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """The reason for a verdict."""

    NO_REQUIREMENT = "no_requirement"
    EARLIER_FINE_TUNING = "earlier_fine_tuning"
    RECENT_INFERENCE = "recent_inference"
    WINDOW_EXPIRED = "window_expired"
    WINDOW_EDGE = "window_edge"
    NO_RECENT_INFERENCE = "no_recent_inference"
    CLOSED = "closed"
    REFUSED = "refused"
    REFUSAL_IN_DOUBT = "refusal_in_doubt"
    NO_INFERENCE_RECORDED = "no_inference_recorded"
    NEVER_FINE_TUNED = "never_fine_tuned"
    POLICY_BOUNDARY = "policy_boundary"
    CLOCK_IN_DOUBT = "clock_in_doubt"
    HISTORY_UNAVAILABLE = "history_unavailable"
    NOT_GUARDED = "not_guarded"


class Eligibility(Value):
    """The verdict for one organization at a given time, and the evidence behind it.

    Attributes:
        organization: The organization's slug, or its ``org-`` id if only that is known; None if neither is.
        phase: The phase of the policy that applies; in the band of a date, the earlier one.
        last_inference: The latest known inference.
        window_closes_at: When the window will close, in UTC; None if it isn't open or none is required.
        window_closed_at: When it closed, in UTC; None if it is open or none is required.
        remaining: Time until the window closes.
        creation_ends_on: The published day from which nobody can create jobs.
        jobs_until: The time until which jobs can be created if nothing changes, in UTC: the window's close,
            or the first moment of ``creation_ends_on`` anywhere on Earth, whichever comes first. None unless
            the verdict is ``eligible``, and if neither is known.
        coverage: ``organization`` if the organization's usage was read without a gap from the start of the
            window up to less than a day ago; ``local`` if only this history's clients are covered.
        covered_until: The time until which the organization's usage was read without a gap from the start of
            the window, in UTC; None if it wasn't. Usage appears with an unpublished lag, so the last
            minutes before it may be missing.
        refusal: The API's latest refusal, if the verdict is based on it.
        checked_at: The time of the verdict, in UTC.
        remedy: What to do now; None if there is nothing to do.
    """

    verdict: Verdict
    reason: Reason
    organization: str | None = None
    phase: Phase
    last_inference: Inference | None = None
    window_closes_at: UtcDatetime | None = None
    window_closed_at: UtcDatetime | None = None
    remaining: timedelta | None = None
    creation_ends_on: date | None = None
    jobs_until: UtcDatetime | None = None
    coverage: Coverage = Coverage.LOCAL
    covered_until: UtcDatetime | None = None
    refusal: Refusal | None = None
    checked_at: UtcDatetime
    remedy: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the verdict is ``eligible``; also false if it is ``unknown``."""
        return self.verdict is Verdict.ELIGIBLE

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        parts = [f"{self.verdict} ({self.reason})"]
        if self.jobs_until is not None:
            parts.append(f"jobs can be created until {self.jobs_until:%Y-%m-%d %H:%M UTC}")
        if self.window_closed_at is not None:
            parts.append(f"the window closed on {self.window_closed_at:%Y-%m-%d %H:%M UTC}")
        if self.last_inference is not None:
            parts.append(f"last inference {self.last_inference}")
        return ", ".join(parts)

    @field_serializer("remaining", when_used="json-unless-none")
    def _remaining_in_seconds(self, remaining: timedelta) -> float:
        return remaining.total_seconds()
