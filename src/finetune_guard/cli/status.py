"""``finetune-guard status``: verdict, deadline, the next dates and what to do, for one organization."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter

from finetune_guard.cli.advice import Advice, advise
from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.ends import DayOfEnds, disagreements, ends_by_day, replaced_by
from finetune_guard.cli.options import Json, Refresh
from finetune_guard.cli.status_sections import Rows, Section, deployments_alive
from finetune_guard.cli.timeline import Moment, coming, days_away, distance, moments, time_away
from finetune_guard.cli.verdict import limits_in_words, source_in_words, why
from finetune_guard.domain.facts import Coverage, ModelLimits
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.keep_alive import KeepAlive
from finetune_guard.rules.messages import moment, rule
from finetune_guard.rules.model_messages import old_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_DATES = 3
_LONGEST_LIMITS = 160


def status(
    *,
    refresh: Refresh = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the rule, its source and the evidence, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show whether jobs can be created, until when, and what to do.

    When idle deployments end is shown, too. Without --refresh nothing is asked of the API. The exit code
    is 0 whatever the verdict; a script wants `check`.
    """
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    alive = deployments_alive(connection, eligibility.checked_at)
    sections = [alive] if alive is not None else []
    if connection.speaks_of_jobs:
        jobs = _jobs(connection, eligibility, connection.model_limits(refresh=refresh))
        is_over = eligibility.reason is Reason.CLOSED  # then what is still alive comes first
        sections.insert(len(sections) if is_over else 0, jobs)
    if as_json:
        typer.echo(json.dumps({name: fact for each in sections for name, fact in each.facts.items()}))
        return
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen = render.Screen()
    for section in sections:
        if section.verdict is not None:
            screen.draw(render.headline(*section.verdict), "")
        if section.rows:
            screen.draw(render.facts(section.rows), "")
        if verbose:
            screen.draw(*section.drawing(screen.drawing_width), "", render.facts(section.details))
    if not verbose and connection.speaks_of_jobs:
        screen.draw("The rule, its source and the evidence: finetune-guard status -v")


def _jobs(connection: Connection, eligibility: Eligibility, limits: ModelLimits | None) -> Section:
    """Return whether jobs can be created."""
    models, dates = connection.history(eligibility).known_models, connection.dates()
    ends = ends_by_day(models, dates)
    notes = [note for note in (connection.forgets, old_table(dates, eligibility.checked_at.date())) if note]
    notes += disagreements(models, dates)
    line = moments(eligibility, connection.config.policy, ends)
    advice = advice_for(connection, eligibility, ends)
    return Section(
        verdict=(eligibility.verdict, _in_short(eligibility)),
        rows=[
            ("Do now", advice.command or advice.text),
            *([("", advice.text)] if advice.command is not None else []),
            *_next_dates(coming(line, eligibility)[:_MOST_DATES], eligibility),
            *_limits(limits),
            *(("" if index else "Note", note) for index, note in enumerate(notes)),
        ],
        drawing=lambda width: _drawing(line, eligibility, width),
        details=[
            *([("Why", f"{why(eligibility)}.")] if eligibility.ok else []),
            ("Organization", eligibility.organization or "not known yet for this key"),
            ("Last inference", _last_inference(eligibility)),
            ("Coverage", _coverage(connection, eligibility)),
            ("Rule", rule(eligibility, connection.config.policy)),
            *_replacements(ends, eligibility),
            *([("In Python", eligibility.remedy)] if eligibility.remedy is not None else []),
        ],
        facts={
            "eligibility": eligibility.model_dump(mode="json"),
            "why": why(eligibility),
            "rule": rule(eligibility, connection.config.policy),
            "coverage": _coverage(connection, eligibility),
            "dates": [_date_as_json(each, line, eligibility) for each in line],
            "models_end": TypeAdapter(tuple[DayOfEnds, ...]).dump_python(ends, mode="json"),
            "notes": notes,
            "model_limits": limits.model_dump(mode="json") if limits is not None else None,
            "command": advice.command,
            "what_to_do": advice.text,
        },
    )


def _in_short(eligibility: Eligibility) -> str:
    """Return the verdict with its deadline, as a clause."""
    until = eligibility.jobs_until
    if eligibility.verdict is not Verdict.ELIGIBLE:
        return why(eligibility)
    who = f"organization {eligibility.organization}" if eligibility.organization else "this organization"
    can = f"{who} can create jobs"
    if until is None:
        return can
    if until != eligibility.window_closes_at and eligibility.creation_ends_on is not None:
        days = (eligibility.creation_ends_on - eligibility.checked_at.date()).days
        return f"{can} until {eligibility.creation_ends_on} ({days_away(days)})"
    return f"{can} until {moment(until)} ({time_away(until, eligibility.checked_at)})"


def advice_for(connection: Connection, eligibility: Eligibility, ends: tuple[DayOfEnds, ...]) -> Advice:
    """Return the one thing to do."""
    if connection.inactive_because is not None:
        return Advice(None, connection.inactive_because)
    keep_alive = connection.config.keep_alive or KeepAlive()
    return advise(eligibility, ends, keep_alive, has_admin_key=connection.guard.has_admin_key)


def _limits(limits: ModelLimits | None) -> Rows:
    if limits is None:
        return []
    told = limits_in_words(limits)
    shown = told if len(told) <= _LONGEST_LIMITS else f"{told[:_LONGEST_LIMITS]}... (all of it: --json)"
    return [("Model limits", f"{shown} (as the API shows them; they decide nothing)")]


def _next_dates(following: Sequence[Moment], eligibility: Eligibility) -> Rows:
    rows = [(each.when, distance(each, eligibility.checked_at), each.text) for each in following]
    return [("Next dates", rows)] if rows else []


def _drawing(line: Sequence[Moment], eligibility: Eligibility, width: int) -> Sequence[RenderableType]:
    from finetune_guard.cli.render import timeline  # noqa: PLC0415 -- no other output needs rich

    return timeline(line, eligibility.checked_at, width, eligibility.jobs_until)


def _date_as_json(each: Moment, line: Sequence[Moment], eligibility: Eligibility) -> dict[str, object]:
    return {
        "kind": each.mark.value,
        "day": each.day.isoformat() if each.day is not None else None,
        "at": each.at.isoformat() if each.day is None else None,
        "text": each.text,
        "to_come": each in coming(line, eligibility),
    }


def _last_inference(eligibility: Eligibility) -> str:
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


def _replacements(ends: Sequence[DayOfEnds], eligibility: Eligibility) -> Rows:
    today = eligibility.checked_at.date()
    coming_ends = [day for day in ends if day.day >= today]
    told = [
        f"{by}, for what ends on {day.day}" for day in coming_ends if (by := replaced_by(day)) is not None
    ]
    return [("" if index else "Replacement", text) for index, text in enumerate(told)]
