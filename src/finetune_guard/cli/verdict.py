"""The verdict in one line, as all commands print it."""

from __future__ import annotations

from http import HTTPStatus

from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.keep_alive import KeepAlive, due_from
from finetune_guard.rules.messages import cause, moment


def in_words(eligibility: Eligibility) -> str:
    """Return the verdict and its reason as a sentence."""
    is_unknown = eligibility.verdict is Verdict.UNKNOWN
    return f"{'not known' if is_unknown else eligibility.verdict.value}: {why(eligibility)}."


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
    if limits.status == HTTPStatus.OK:
        return limits.answer
    return f"none: {'no answer, ' if limits.status is None else 'the API answered '}{limits.answer}"


def not_due(eligibility: Eligibility, keep_alive: KeepAlive) -> str:
    """Return, as a clause, why no keep-alive is due, and from when on one is."""
    closes, due = eligibility.window_closes_at, due_from(keep_alive, eligibility)
    if closes is None or eligibility.jobs_until is None:
        return why(eligibility)
    if due is None:
        until = moment(eligibility.jobs_until)
        return f"the window is open for as long as jobs can be created, until {until}"
    return f"the window is open until {moment(closes)}, and one is due from {moment(due)} on"
