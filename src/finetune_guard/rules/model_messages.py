"""The texts of errors and warnings about models that end."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from finetune_guard.domain.shutdowns import DateSource, Shutdown, ShutdownDates, StatedEnd
from finetune_guard.rules.inventory import Prospect
from finetune_guard.rules.messages import ONE_CALL, format_duration


class Words(NamedTuple):
    """An error's message, and its remedy on its own."""

    message: str
    remedy: str


_GIVE_OR_TAKE = "Published days can be off by one."
_OLD_AFTER_DAYS = 45


def base_shut_down(prospect: Prospect, dates: ShutdownDates, today: date) -> Words:
    """Return the error for a job that would start from a model that is shut down."""
    others = ", ".join(dates.tunable_bases(today))
    use = f"Use a base model that is not shut down: {others}." if others else "No other base model is known."
    return _stopped_for_a_model(
        f"{prospect.model} is shut down and can't be fine-tuned any more",
        prospect,
        f"{use} If your organization still has access, {ONE_CALL} lets one call through.",
    )


def too_short_lived(prospect: Prospect, minimum: timedelta) -> Words:
    """Return the error for a fine-tune that would live less than ``min_model_lifetime``."""
    return _stopped_for_a_model(
        f"a fine-tune of {prospect.model} made now {_would_live(prospect.lifetime)}, less than the "
        f"{format_duration(minimum)} of min_model_lifetime",
        prospect,
        f"To create it anyway, lower GuardConfig(min_model_lifetime=...), or for one call use {ONE_CALL}.",
    )


def short_lived(prospect: Prospect) -> str:
    """Return the warning for a fine-tune that would live only for a short time."""
    end = prospect.fine_tunes_shutdown
    day = f": it is shut down on {_dated(end)}" if end is not None else ""
    return (
        f"A fine-tune of {prospect.model} made now {_would_live(prospect.lifetime)}{day}.\n"
        f"Plan the move to another model before that.{_successor_of(prospect)}"
    )


def model_sunset(shutdown: Shutdown, days_left: int, replacement: str | None, tunable: bool | None) -> str:
    """Return the warning for a model in use that ends soon."""
    return (
        f"{shutdown.model} {_will_end(days_left)} {_dated(shutdown)}.\n"
        f"Calls go on until then. Plan the move to another model.{_successor(replacement, tunable)}"
    )


def fine_tune_shut_down(shutdown: Shutdown, replacement: str | None, tunable: bool | None) -> Words:
    """Return the error for a fine-tuned model that the API doesn't find and whose shutdown day has come."""
    remedy = f"Call another model.{_successor(replacement, tunable)}"
    return Words(
        f"{shutdown.model} does not answer any more: the API can't find it, and its shutdown day has come.\n"
        f"Evidence: its shutdown day is {_dated(shutdown)}. {_GIVE_OR_TAKE}\n"
        f"What to do: {remedy}",
        remedy,
    )


def _stopped_for_a_model(why: str, prospect: Prospect, remedy: str) -> Words:
    base, tuned = prospect.base_shutdown, prospect.fine_tunes_shutdown
    remedy += _successor_of(prospect)
    return Words(
        f"The fine-tuning job was not created: {why}.\n"
        f"Evidence: {prospect.model} is shut down on {_dated(base)}, "
        f"fine-tunes made from it on {_dated(tuned)}. {_GIVE_OR_TAKE}\n"
        f"What to do: {remedy}",
        remedy,
    )


def _dated(shutdown: Shutdown | None) -> str:
    if shutdown is None:
        return "a day that is not known"
    named = {
        DateSource.MODEL: f"the API on {shutdown.as_of}",
        DateSource.BASE: f"the API for the base model, on {shutdown.as_of}",
    }.get(shutdown.source, source_of(shutdown))
    return f"{shutdown.day} (according to {named}{disagreement(shutdown)})"


def source_of(said: Shutdown | StatedEnd) -> str:
    """Return the source of a shutdown date, in words."""
    return {
        DateSource.CONFIG: "GuardConfig(model_dates=...)",
        DateSource.MODEL: f"the API, as of {said.as_of}",
        DateSource.BASE: f"the API's word on the base model, as of {said.as_of}",
        DateSource.LITELLM: "the installed litellm's table",
        DateSource.TABLE: f"finetune-guard's table of {said.as_of}",
    }[said.source]


def disagreement(shutdown: Shutdown) -> str:
    """Return the differing dates of other sources, each after a semicolon; empty if all agree."""
    return "".join(f"; {source_of(other)} says {other.day}" for other in shutdown.others)


def old_table(dates: ShutdownDates, today: date) -> str | None:
    """Return a sentence saying that the shipped table is old; None if it is not."""
    as_of = dates.catalog.as_of
    age = (today - as_of).days
    if age <= _OLD_AFTER_DAYS:
        return None
    return (
        f"finetune-guard's table of shutdown dates is {age} days old ({as_of}), and dates may have changed "
        "since. To ask the API, run finetune-guard models --refresh. For a newer table, upgrade "
        "finetune-guard."
    )


def _successor_of(prospect: Prospect) -> str:
    return _successor(prospect.replacement, prospect.replacement_can_be_fine_tuned)


def _successor(replacement: str | None, tunable: bool | None) -> str:
    """Return a sentence with a space before it; empty if there is no replacement."""
    if replacement is None:
        return ""
    ability = {True: ", which can be fine-tuned", False: ", which can't be fine-tuned", None: ""}[tunable]
    return f" The published replacement is {replacement}{ability}."


def _would_live(lifetime: timedelta | None) -> str:
    if lifetime is None:
        return "would live for an unknown time"
    if lifetime < timedelta(days=1):
        return "would live for less than a day"
    return f"would live for about {format_duration(timedelta(days=lifetime.days))}"


def _will_end(days: int) -> str:
    if days < 0:
        return "was to be shut down on"
    return {0: "is shut down today,", 1: "is shut down tomorrow,"}.get(
        days, f"will be shut down in {days} days, on"
    )
