"""Eligibility: whether an organization may create fine-tuning jobs at one moment, and why."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import field_serializer

from finetune_guard.domain.facts import Coverage, Inference, Refusal
from finetune_guard.domain.policy import Phase, UtcDatetime
from finetune_guard.domain.values import StrEnum, Value


class Verdict(StrEnum):
    """May jobs be created?"""

    ELIGIBLE = "eligible"
    INELIGIBLE = "ineligible"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a verdict is what it is."""

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
    HISTORY_UNAVAILABLE = "history_unavailable"
    NOT_GUARDED = "not_guarded"


class Eligibility(Value):
    """The answer for one organization at one moment, and what it rests on.

    Attributes:
        organization: The organization's slug, or its ``org-`` id where only that is known; None when neither
            is.
        phase: The phase of the policy that holds; in the band of a date, the earlier one.
        last_inference: The latest inference known.
        window_closes_at: When the window will close, in UTC; None when it isn't open or none is required.
        window_closed_at: When it closed, in UTC; None when it is open or none is required.
        remaining: Time until the window closes.
        creation_ends_on: The published day from which on nobody can create jobs.
        jobs_until: How long jobs can be created if nothing changes, in UTC: until the window closes, or until
            ``creation_ends_on`` begins anywhere on Earth, whichever comes first. None unless the verdict is
            ``eligible``, and where neither is known.
        coverage: Whose inferences are known: the ``organization``'s where its usage was read without a gap
            from the window's beginning up to less than a day ago; else this history's clients' (``local``).
        covered_until: Up to when the organization's usage was read without a gap from the window's beginning
            on, in UTC; None where it wasn't. Usage appears with a lag that is not published, so the last
            minutes before it may be missing.
        refusal: The API's latest refusal, when that is what decides.
        checked_at: The moment the answer is for, in UTC.
        remedy: What to do now; None when there is nothing to do.
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
        """Whether the verdict is ``eligible``; false also where it is ``unknown``."""
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
