"""What becomes of a fine-tune that is made now, and how the end of a model is put into words.

A text says which model, which days with their source, what the provider recommends instead, and what to
do now. The model of a call or a job is never exchanged for another one. No I/O and no clock here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from finetune_guard.domain.shutdowns import DateSource, Shutdown, ShutdownDates

_GIVE_OR_TAKE = "Published days are ±1 day."
_NEVER_EXCHANGED = "finetune-guard never exchanges a model for another one."
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Prospect:
    """What is known of the life of a fine-tune that would be made now.

    Attributes:
        model: The model that it would be made from: a base model or a fine-tune.
        base_shutdown: When that model ends; None when no source tells.
        fine_tunes_shutdown: When the new fine-tune would end; None when no source tells.
        lifetime: From now to 00:00 UTC of that day, zero or less when it has begun; None when no
            source tells.
        replacement: What the provider recommends instead; None where it names nothing.
        replacement_can_be_fine_tuned: Whether fine-tuning is offered for that; None without one.
    """

    model: str
    base_shutdown: Shutdown | None = None
    fine_tunes_shutdown: Shutdown | None = None
    lifetime: timedelta | None = None
    replacement: str | None = None
    replacement_can_be_fine_tuned: bool | None = None

    def is_shut_down(self, today: date) -> bool:
        """Whether the model to start from is known to be gone: its day lies more than a day back."""
        return self.base_shutdown is not None and self.base_shutdown.is_over(today)


def prospect(model_id: str, dates: ShutdownDates, now: datetime) -> Prospect:
    """Return what is known of the life of a fine-tune made from ``model_id`` at ``now`` (aware)."""
    end = dates.of_fine_tunes_of(model_id)
    replacement = dates.replacement_of(model_id)
    return Prospect(
        model=model_id,
        base_shutdown=dates.of(model_id),
        fine_tunes_shutdown=end,
        lifetime=datetime.combine(end.day, time(), tzinfo=timezone.utc) - now if end is not None else None,
        replacement=replacement,
        replacement_can_be_fine_tuned=dates.can_be_fine_tuned(replacement) if replacement else None,
    )


def shut_down_message(prospect: Prospect, dates: ShutdownDates, today: date) -> str:
    """Return what the error says where the model that a job should start from is gone."""
    others = ", ".join(dates.tunable_bases(today))
    remedy = (
        f"Name a base model that is not shut down: {others}."
        if others
        else "No base model is known that can still be fine-tuned."
    )
    return _error(f"{prospect.model} is shut down and can't be fine-tuned any more", prospect, remedy)


def short_lived_message(prospect: Prospect, minimum: timedelta, stopped: bool) -> str:
    """Return what the error or the warning says where a new fine-tune would live less than ``minimum``."""
    life = f"fine-tune of {prospect.model} that is made now {_would_live(prospect.lifetime)}, less than"
    if stopped:
        remedy = "To have it made nevertheless, set GuardConfig(min_model_lifetime=...) lower."
        return _error(f"a {life} the {_span(minimum)} of min_model_lifetime", prospect, remedy)
    successor = _successor(prospect.replacement, prospect.replacement_can_be_fine_tuned)
    return (
        f"A {life} {_span(minimum)}. {_shutdown_days(prospect)}{successor} finetune-guard lets the job "
        "through; plan the move to another model before that day."
    )


def sunset_message(shutdown: Shutdown, days_left: int, replacement: str | None, tunable: bool | None) -> str:
    """Return what the warning says where a model in use ends soon."""
    return (
        f"{shutdown.model} {_will_end(days_left)} {_dated(shutdown)}. {_GIVE_OR_TAKE}"
        f"{_successor(replacement, tunable)} Calls go on meanwhile; plan the move to another model before "
        f"that day. {_NEVER_EXCHANGED}"
    )


def gone_message(shutdown: Shutdown, replacement: str | None, tunable: bool | None = None) -> str:
    """Return what the error says where the API doesn't find a model whose day has come."""
    return (
        f"{shutdown.model} does not answer any more: the API can't find it, and its shutdown day has come.\n"
        f"Evidence: Its shutdown day is {_dated(shutdown)}. {_GIVE_OR_TAKE}\n"
        f"What to do: Call another model.{_successor(replacement, tunable)} {_NEVER_EXCHANGED}"
    )


def _error(why: str, prospect: Prospect, remedy: str) -> str:
    successor = _successor(prospect.replacement, prospect.replacement_can_be_fine_tuned)
    return (
        f"The fine-tuning job was not created: {why}.\n"
        f"Evidence: {_shutdown_days(prospect)}\n"
        f"What to do: {remedy}{successor} {_NEVER_EXCHANGED}"
    )


def _shutdown_days(prospect: Prospect) -> str:
    base, tuned = prospect.base_shutdown, prospect.fine_tunes_shutdown
    return (
        f"Shutdown days: {prospect.model}, {_dated(base)}; fine-tunes made from it, {_dated(tuned)}. "
        f"{_GIVE_OR_TAKE}"
    )


def _dated(shutdown: Shutdown | None) -> str:
    if shutdown is None:
        return "unknown"
    source = {
        DateSource.MODEL: f"by the API on {shutdown.as_of}",
        DateSource.BASE: f"by the API for the base model, on {shutdown.as_of}",
        DateSource.TABLE: f"by the table in finetune-guard, as of {shutdown.as_of}",
    }[shutdown.source]
    return f"{shutdown.day} ({source})"


def _successor(replacement: str | None, tunable: bool | None) -> str:
    """A sentence with the space before it; nothing where there is no replacement."""
    if replacement is None:
        return ""
    ability = {True: ", which can be fine-tuned", False: ", which can't be fine-tuned", None: ""}[tunable]
    return f" The published replacement is {replacement}{ability}."


def _would_live(lifetime: timedelta | None) -> str:
    if lifetime is None:
        return "would live for an unknown time"
    if lifetime < _DAY:
        return "would live for less than a day"
    return f"would live for about {_span(timedelta(days=lifetime.days))}"


def _span(duration: timedelta) -> str:
    amount, unit = (duration / _HOUR, "hour") if duration % _DAY else (duration / _DAY, "day")
    return f"{amount:.4g} {unit}{'' if amount == 1 else 's'}"


def _will_end(days: int) -> str:
    if days < 0:
        return "was to be shut down on"
    return {0: "is shut down today,", 1: "is shut down tomorrow,"}.get(
        days, f"will be shut down in {days} days, on"
    )
