"""The verdict in one line, as all commands print it."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from finetune_guard.domain.history import ModelLimits
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.keep_alive import outlasts_creation
from finetune_guard.rules.messages import cause, moment

VERDICTS = {
    Verdict.ELIGIBLE: "eligible",
    Verdict.INELIGIBLE: "ineligible",
    Verdict.UNKNOWN: "not known",
}


def in_words(eligibility: Eligibility) -> str:
    """Return the verdict and its reason as a sentence."""
    return f"{VERDICTS[eligibility.verdict]}: {why(eligibility)}."


def why(eligibility: Eligibility) -> str:
    """Return the reason as a clause, which says what this history can't know."""
    last, is_unknown = eligibility.last_inference, eligibility.verdict is Verdict.UNKNOWN
    if eligibility.reason is not Reason.WINDOW_EXPIRED or not is_unknown or last is None:
        return cause(eligibility)
    return (
        f"the last inference this history saw was at {moment(last.at)}, and by it the window closed on "
        f"{moment(eligibility.window_closed_at)}; another program may have run one since"
    )


def limits_in_words(limits: ModelLimits) -> str:
    """Return what the API answered about the organization's limits, as it came."""
    return limits.answer if limits.status == HTTPStatus.OK else f"no answer ({limits.answer})"


def not_due(eligibility: Eligibility, renew_within: timedelta) -> str:
    """Return, as a clause, why no keep-alive is due, and from when on one is."""
    closes = eligibility.window_closes_at
    if closes is None:
        return why(eligibility)
    if outlasts_creation(eligibility):
        until = moment(eligibility.jobs_until)
        return f"the window is open for as long as jobs can be created, until {until}"
    since = moment(closes - renew_within)
    return f"the window is open until {moment(closes)}, and one is due from {since} on"
