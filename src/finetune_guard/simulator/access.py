"""Decides who may create fine-tuning jobs, as the provider does. No I/O.

It shares no code with the guard's own decision, so that tests can compare the two. Where the provider's
documentation leaves something open, the simulator does this:

* A date takes effect at one instant, 00:00 UTC unless ``rollover`` says otherwise.
* "In the past 60 days" is true while the latest inference is less than 60 days old.
* A new inference reopens an expired window.
* Every successful inference counts, whatever its size; checkpoints of a job count as models.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo

from finetune_guard.domain.policy import AccessPolicy, Phase, Requirement

Rollover = tzinfo | timedelta
"""When a published date takes effect: at 00:00 in a time zone, or this long after 00:00 UTC."""


def takes_effect(day: date, rollover: Rollover) -> datetime:
    """Return the instant (UTC) at which ``day`` takes effect."""
    zone = rollover if isinstance(rollover, tzinfo) else timezone.utc
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(timezone.utc)
    return midnight + rollover if isinstance(rollover, timedelta) else midnight


def phase_at(policy: AccessPolicy, now: datetime, rollover: Rollover) -> Phase:
    """Return the one phase that the provider applies at ``now``."""
    starts = ((each.starts_on, each) for each in reversed(policy.phases))
    return next(each for day, each in starts if day is None or takes_effect(day, rollover) <= now)


def may_create_jobs(
    policy: AccessPolicy,
    now: datetime,
    *,
    fine_tuned_before: bool,
    last_inference: datetime | None,
    rollover: Rollover = timezone.utc,
) -> bool:
    """Whether an organization may create a fine-tuning job at ``now``, the server's time."""
    phase = phase_at(policy, now, rollover)
    if phase.requirement is Requirement.CLOSED:
        return False
    if phase.requirement is Requirement.EARLIER_FINE_TUNING:
        return fine_tuned_before
    if phase.window is not None:
        return last_inference is not None and now - last_inference < phase.window
    return True
