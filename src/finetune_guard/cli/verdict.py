"""The verdict in one line, as all commands print it."""

from __future__ import annotations

from finetune_guard.domain.verdict import Eligibility, Verdict
from finetune_guard.rules.enforcement import cause

VERDICTS = {
    Verdict.ELIGIBLE: "eligible",
    Verdict.INELIGIBLE: "ineligible",
    Verdict.UNKNOWN: "not known",
}


def in_words(eligibility: Eligibility) -> str:
    """Return the verdict and its reason as a sentence."""
    return f"{VERDICTS[eligibility.verdict]}: {cause(eligibility)}."
