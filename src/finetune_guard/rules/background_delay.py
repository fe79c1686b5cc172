"""Delay until the next background check.

It sleeps until the window closes within ``renew_within``, and never longer than ``LONGEST``: a machine
that was suspended, or whose clock was set, is then found out in time. It never checks again sooner than
``SHORTEST``, whatever fails. What is drawn by lot, a number from 0 to 1, comes as an argument.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.rules.deployments import Deployment, keep_alive_due_at
from finetune_guard.rules.keep_alive import KeepAlive, due_from, is_due

LONGEST = timedelta(hours=1)
"""The longest time from one check to the next."""

SHORTEST = timedelta(seconds=1)
"""The shortest time from one check to the next."""

_SPREAD = 0.05
_FIRST_RETRY = timedelta(minutes=1)
_TRIES_LEFT = 10
_MOST_DOUBLINGS = 10


def spread_out(keep_alive: KeepAlive, lot: float) -> KeepAlive:
    """Return the policy with a ``renew_within`` that is up to a twentieth shorter.

    Each guard draws its own lot, so that a fleet that was started at once doesn't wake at once.
    """
    return keep_alive.model_copy(update={"renew_within": keep_alive.renew_within * (1 - _SPREAD * lot)})


def until_due(keep_alive: KeepAlive, eligibility: Eligibility) -> timedelta:
    """Return how long to wait when there is nothing to do now: until a keep-alive is due.

    Where that can't be told, or one is due although it has just been sent, it is the longest time.
    """
    due = due_from(keep_alive, eligibility)
    if due is None or is_due(keep_alive, eligibility):
        return LONGEST
    return _bounded(due - eligibility.checked_at)


def until_retry(failures: int, eligibility: Eligibility | None, lot: float) -> timedelta:
    """Return how long to wait after a failure: twice as long after each, and up to half of it less.

    It is never so long that fewer than ten tries are left before an open window closes.
    """
    longest = _FIRST_RETRY * 2 ** min(failures - 1, _MOST_DOUBLINGS)
    if eligibility is not None and eligibility.remaining is not None:
        longest = min(longest, eligibility.remaining / _TRIES_LEFT)
    return _bounded(min(longest, LONGEST) * (1 - lot / 2))


def until_deployment_due(keep_alive: KeepAlive, deployment: Deployment, now: datetime) -> timedelta:
    """Return how long to wait for the next check of a deployment after it was looked after."""
    due_at = keep_alive_due_at(keep_alive, deployment)
    return LONGEST if due_at is None or due_at <= now else _bounded(due_at - now)


def is_over(eligibility: Eligibility) -> bool:
    """Whether no keep-alive can help any more: nobody can create jobs."""
    return eligibility.reason is Reason.CLOSED


def _bounded(wait: timedelta) -> timedelta:
    return max(SHORTEST, min(wait, LONGEST))
