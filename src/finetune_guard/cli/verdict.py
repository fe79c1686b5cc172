"""The words about a verdict: its reason, and the one thing to do. No I/O, no clock."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from finetune_guard.cli.timeline import DayOfEnds
from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.keep_alive import KeepAlive, due_at, is_due
from finetune_guard.rules.messages import describe_cause, format_time

REMOVABLE = (
    "A scheduled keep-alive can be removed, unless it is for deployments; finetune-guard config says "
    "where it may be."
)
_SOON_DAYS = 90
_UNPUBLISHED = "Whether an inference reopens a window that has closed is not published."


def in_words(eligibility: Eligibility) -> str:
    """Return the verdict and its reason as a sentence."""
    is_unknown = eligibility.verdict is Verdict.UNKNOWN
    return f"{'not known' if is_unknown else eligibility.verdict.value}: {why(eligibility)}."


def why(eligibility: Eligibility) -> str:
    """Return the reason as a clause, including what this history can't know."""
    last, is_unknown = eligibility.last_inference, eligibility.verdict is Verdict.UNKNOWN
    if eligibility.reason is not Reason.WINDOW_EXPIRED or not is_unknown or last is None:
        return describe_cause(eligibility)
    return (
        f"the last inference this history saw was at {format_time(last.at)}, and by it the window closed on "
        f"{format_time(eligibility.window_closed_at)}; another program may have run one since"
    )


def limits_in_words(limits: ModelLimits, longest: int | None = None) -> str:
    """Return the organization's limits as the API reported them, cut to a length."""
    if limits.status != HTTPStatus.OK:
        why = limits.answer if limits.status is None else f"the API answered {limits.answer}"
        return f"not shown ({why})"
    is_cut = longest is not None and len(limits.answer) > longest
    shown = f"{limits.answer[:longest]}... (all of it: --json)" if is_cut else limits.answer
    return f"{shown} (as the API shows them; they decide nothing)"


def not_due(eligibility: Eligibility, keep_alive: KeepAlive) -> str:
    """Return, as a clause, why no keep-alive is due and when one will be."""
    closes, due = eligibility.window_closes_at, due_at(keep_alive, eligibility)
    if closes is None or eligibility.jobs_until is None:
        return why(eligibility)
    if due is None:
        until = format_time(eligibility.jobs_until)
        return f"the window is open for as long as jobs can be created, until {until}"
    return f"the window is open until {format_time(closes)}, and one is due from {format_time(due)} on"


class Advice(NamedTuple):
    """The one thing to do: a command, or None if none helps, and an explanation."""

    command: str | None
    text: str

    @property
    def in_words(self) -> str:
        """The command and its explanation as sentences."""
        return f"Run {self.command}. {self.text}" if self.command is not None else self.text


_SYNC = Advice(
    "finetune-guard sync",
    "It reads whether any program of the organization ran an inference in time. If none did, type "
    "finetune-guard keep-alive.",
)
_RUN_ONE = Advice(
    "finetune-guard keep-alive",
    f"It runs a small inference now. {_UNPUBLISHED} If another program ran one in time, finetune-guard sync "
    "finds it with an admin key (OPENAI_ADMIN_KEY).",
)
_RENEW = Advice("finetune-guard keep-alive", "The window closes soon; a small inference renews it.")
_EXPORT = Advice(
    "finetune-guard export my-models",
    f"It saves the jobs, their files and what is known of the models, before they end. {REMOVABLE}",
)
_ADVICE = {
    Reason.WINDOW_EXPIRED: _RUN_ONE,
    Reason.WINDOW_EDGE: _RUN_ONE,
    Reason.NO_INFERENCE_RECORDED: _RUN_ONE,
    Reason.NO_RECENT_INFERENCE: Advice(
        "finetune-guard keep-alive", f"It runs a small inference now. {_UNPUBLISHED}"
    ),
    Reason.NEVER_FINE_TUNED: Advice(
        "finetune-guard check --refresh",
        "Type it with a key of the project that has fine-tuned: a key sees its own project only.",
    ),
    Reason.REFUSED: Advice(
        "finetune-guard keep-alive --force", f"It runs a small inference all the same. {_UNPUBLISHED}"
    ),
    Reason.REFUSAL_IN_DOUBT: Advice(None, "Create the job: the API decides, and its answer is recorded."),
    Reason.POLICY_BOUNDARY: Advice(
        None, "Create the job now if it matters: the API decides, and its answer may change within hours."
    ),
    Reason.CLOCK_IN_DOUBT: Advice("finetune-guard check --refresh", "Set this machine's clock before that."),
    Reason.HISTORY_UNAVAILABLE: Advice(
        "finetune-guard config", "It shows the store, and what is wrong with it."
    ),
}
_FOUND_BY_SYNC = (Reason.WINDOW_EXPIRED, Reason.WINDOW_EDGE, Reason.NO_INFERENCE_RECORDED)


def advise(
    eligibility: Eligibility, ends: tuple[DayOfEnds, ...], keep_alive: KeepAlive, *, has_admin_key: bool
) -> Advice:
    """Return the one thing to do, given the models' ends and whether a usage sync is possible."""
    if has_admin_key and eligibility.reason in _FOUND_BY_SYNC:
        return _SYNC
    if eligibility.reason in _ADVICE:
        return _ADVICE[eligibility.reason]
    today, end = eligibility.checked_at.date(), eligibility.creation_ends_on
    if eligibility.verdict is not Verdict.ELIGIBLE:
        is_export = any(day.day >= today for day in ends)
        return _EXPORT if is_export else Advice(None, f"Nothing more. {REMOVABLE}")
    due = due_at(keep_alive, eligibility)
    if is_due(keep_alive, eligibility):
        return _RENEW
    is_near = end is not None and (end - today).days <= _SOON_DAYS
    told = f"Create the jobs that are still needed before {end}." if is_near else "Nothing now."
    return Advice(
        None, f"{told} A keep-alive is due from {format_time(due)} on." if due is not None else told
    )
