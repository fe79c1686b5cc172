"""The verdict in one line, as all commands print it."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone

from finetune_guard.domain.verdict import Eligibility, Verdict
from finetune_guard.rules.messages import cause

VERDICTS = {
    Verdict.ELIGIBLE: "eligible",
    Verdict.INELIGIBLE: "ineligible",
    Verdict.UNKNOWN: "not known",
}


def in_words(eligibility: Eligibility) -> str:
    """Return the verdict and its reason as a sentence."""
    return f"{VERDICTS[eligibility.verdict]}: {cause(eligibility)}."


def jobs_until(eligibility: Eligibility) -> datetime | None:
    """Return until when jobs can be created if nothing changes; None where that is not known."""
    ends = eligibility.creation_ends_on
    first_on_earth = timezone(timedelta(hours=14))
    closing = datetime.combine(ends, time(), first_on_earth) if ends is not None else None
    known = [at for at in (eligibility.window_closes_at, closing) if at is not None]
    return min(known, default=None) if eligibility.verdict is Verdict.ELIGIBLE else None
