"""``finetune-guard status``: verdict, dates, evidence and advice for one organization."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import typer
from pydantic import TypeAdapter

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.ends import SOON_DAYS, DayOfEnds, disagreements, ends_by_day, replaced_by
from finetune_guard.cli.options import Debug, Json, Refresh
from finetune_guard.cli.timeline import Moment, coming, distance, moments, time_away
from finetune_guard.cli.verdict import limits_in_words, why
from finetune_guard.domain.history import Coverage, ModelLimits
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.rules.messages import moment, rule
from finetune_guard.rules.model_messages import old_table

_MOST_DATES = 3
_COMMANDS = {
    Reason.WINDOW_EXPIRED: "finetune-guard sync, or finetune-guard keep-alive",
    Reason.NO_RECENT_INFERENCE: "finetune-guard keep-alive",
    Reason.NO_INFERENCE_RECORDED: "finetune-guard check --refresh, then finetune-guard keep-alive",
    Reason.REFUSED: "finetune-guard keep-alive --force",
    Reason.HISTORY_UNAVAILABLE: "finetune-guard config",
}


@dataclass(frozen=True)
class _Status:
    """What is told about an organization.

    Attributes:
        eligibility: The decision.
        ends: When the models that the history knows end.
        line: The dates of the policy, of the window and of models, in order.
        advice: What to do, in words.
        notes: What is to be known about the dates.
        limits: What the API shows as the organization's limits; None where it wasn't asked.
    """

    eligibility: Eligibility
    ends: tuple[DayOfEnds, ...]
    line: tuple[Moment, ...]
    advice: str
    notes: tuple[str, ...]
    limits: ModelLimits | None


def status(*, refresh: Refresh = False, as_json: Json = False, debug: Debug = False) -> None:  # noqa: ARG001 -- read by its callback
    """Show whether jobs can be created, until when, and what to do.

    Without --refresh nothing is asked of the API. The exit code is 0 whatever the verdict; a script
    wants `check`.
    """
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    limits = connection.model_limits(refresh=refresh)
    models, dates = connection.history(eligibility).known_models, connection.dates()
    ends = ends_by_day(models, dates)
    old = old_table(dates, eligibility.checked_at.date())
    notes = (*filter(None, (old,)), *disagreements(models, dates))
    line = moments(eligibility, connection.config.policy, ends)
    told = _Status(eligibility, ends, line, what_to_do(connection, eligibility), notes, limits)
    if as_json:
        typer.echo(json.dumps(_as_json(connection, told)))
    else:
        _draw(connection, told)


def _draw(connection: Connection, told: _Status) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen, eligibility = render.Screen(), told.eligibility
    axis, legend = render.timeline(
        told.line, eligibility.checked_at, screen.drawing_width, eligibility.jobs_until
    )
    rows = [
        ("Organization", eligibility.organization or "not known yet for this key"),
        ("Last inference", _last_inference(eligibility)),
        ("Coverage", _coverage(connection, eligibility)),
        ("Rule", rule(eligibility, connection.config.policy)),
        *_next_dates(coming(told.line, eligibility)[:_MOST_DATES], eligibility),
        *_replacements(told.ends, eligibility),
        *_limits(told.limits),
        *(("" if index else "Note", note) for index, note in enumerate(told.notes)),
        ("What to do", told.advice),
    ]
    headline = render.headline(eligibility.verdict, why(eligibility))
    screen.draw(headline, "", axis, legend, "", render.facts(rows))


def _as_json(connection: Connection, told: _Status) -> dict[str, object]:
    return {
        "eligibility": told.eligibility.model_dump(mode="json"),
        "why": why(told.eligibility),
        "rule": rule(told.eligibility, connection.config.policy),
        "coverage": _coverage(connection, told.eligibility),
        "dates": [
            {
                "kind": each.mark.value,
                "day": each.day.isoformat() if each.day is not None else None,
                "at": each.at.isoformat() if each.day is None else None,
                "text": each.text,
                "to_come": each in coming(told.line, told.eligibility),
            }
            for each in told.line
        ],
        "models_end": TypeAdapter(tuple[DayOfEnds, ...]).dump_python(told.ends, mode="json"),
        "notes": told.notes,
        "model_limits": told.limits.model_dump(mode="json") if told.limits is not None else None,
        "what_to_do": told.advice,
    }


def _limits(limits: ModelLimits | None) -> list[tuple[str, str]]:
    if limits is None:
        return []
    return [("Model limits", f"{limits_in_words(limits)} (as the API shows them; they decide nothing)")]


def _last_inference(eligibility: Eligibility) -> str:
    from finetune_guard.cli.render import source_in_words  # noqa: PLC0415 -- no other output needs rich

    last = eligibility.last_inference
    if last is None:
        return "none is known"
    return f"{moment(last.at)} on {last.model}, {source_in_words(last.source)}"


def _coverage(connection: Connection, eligibility: Eligibility) -> str:
    until, now = eligibility.covered_until, eligibility.checked_at
    if until is not None:
        read = f"The whole organization's usage was read up to {moment(until)}, {time_away(until, now)}."
        is_recent = eligibility.coverage is Coverage.ORGANIZATION
        return read if is_recent else f"{read} finetune-guard sync reads it anew."
    local = (
        "Only programs that share this history were seen. Others of the organization may have run "
        "inferences that are not known here"
    )
    if connection.guard.has_admin_key:
        return f"{local}; finetune-guard sync finds them."
    return f"{local}; with an admin key (OPENAI_ADMIN_KEY) finetune-guard sync finds them."


def _next_dates(following: Sequence[Moment], eligibility: Eligibility) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for each in following:
        when = str(each.day) if each.day is not None else moment(each.at)
        away = distance(each, eligibility.checked_at)
        rows.append(("" if rows else "Next dates", f"{when}, {away}: {each.meaning}"))
    return rows


def _replacements(ends: Sequence[DayOfEnds], eligibility: Eligibility) -> list[tuple[str, str]]:
    today = eligibility.checked_at.date()
    soon = [day for day in ends if 0 <= (day.day - today).days <= SOON_DAYS]
    told = [f"{by}, for what ends on {day.day}" for day in soon if (by := replaced_by(day)) is not None]
    return [("" if index else "Replacement", text) for index, text in enumerate(told)]


def what_to_do(connection: Connection, eligibility: Eligibility) -> str:
    """Return the advice for this verdict, in sentences."""
    if connection.inactive_because is not None:
        advice = [connection.inactive_because]
    elif eligibility.reason in _COMMANDS:
        advice = [eligibility.remedy or "", f"On the command line: {_COMMANDS[eligibility.reason]}."]
    elif eligibility.remaining is not None and connection.guard.plan_keep_alive().due:
        advice = [eligibility.remedy or "", "The window closes soon: finetune-guard keep-alive renews it."]
    else:
        advice = [eligibility.remedy or _before_the_end(eligibility)]
    if connection.forgets is not None:
        advice.append(connection.forgets)
    return " ".join(filter(None, advice))


def _before_the_end(eligibility: Eligibility) -> str:
    end = eligibility.creation_ends_on
    if end is None or (end - eligibility.checked_at.date()).days > SOON_DAYS:
        return "Nothing now."
    return f"Create the jobs that are still needed before {end}."
