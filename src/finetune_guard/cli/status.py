"""``finetune-guard status``: the verdict, the next dates, what to do, and idle deployments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.options import Json, RefreshAndShowLimits
from finetune_guard.cli.timeline import (
    DayOfEnds,
    Moment,
    coming,
    days_away,
    disagreements,
    ends_by_day,
    moments,
    time_away,
)
from finetune_guard.cli.verdict import Advice, advise, limits_in_words, why
from finetune_guard.domain.facts import Coverage, ModelLimits, Source
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules.deployments import Deployment, unambiguous
from finetune_guard.rules.idle_messages import end_in_words
from finetune_guard.rules.keep_alive import KeepAlive
from finetune_guard.rules.messages import describe_rule, format_time
from finetune_guard.rules.model_messages import old_table

_MOST_DATES = 3
_MOST_DEPLOYMENTS = 5
_LONGEST_LIMITS = 160
_SOURCES = {
    Source.OBSERVED: "seen in a program's call",
    Source.KEEP_ALIVE: "sent as a keep-alive",
    Source.USAGE_API: "read from the Usage API",
    Source.BATCH: "read from a batch",
    Source.IMPORTED: "noted by hand or imported",
}
_Rows = Sequence[tuple[str, str | Sequence[Sequence[str]]]]
"""Labelled facts: text, or rows of columns."""


@dataclass(frozen=True)
class _Section:
    """One part of the status: its output, the additions of ``-v``, and its JSON."""

    verdict: tuple[Verdict, str] | None = None
    rows: _Rows = ()
    line: Sequence[Moment] = ()
    details: _Rows = ()
    facts: Mapping[str, object] = field(default_factory=dict)


def status(
    *,
    refresh: RefreshAndShowLimits = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the rule, its source and the evidence, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show whether jobs can be created, until when, and what to do.

    Also shows when idle deployments end. Asks nothing of the API without --refresh. The exit code is 0
    whatever the verdict; for scripts use `check`.
    """
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    sections = [_deployments(connection, eligibility.checked_at)]
    if connection.covers_jobs:
        jobs = _jobs(connection, eligibility, connection.model_limits(refresh=refresh))
        is_over = eligibility.reason is Reason.CLOSED  # then what is still alive comes first
        sections.insert(1 if is_over else 0, jobs)
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
        if verbose and section.line:
            drawing = render.timeline(section.line, eligibility.checked_at, eligibility.jobs_until)
            screen.draw(*drawing, "", render.facts(section.details))
    if not verbose and connection.covers_jobs:
        screen.draw("The rule, its source and the evidence: finetune-guard status -v")


def _jobs(connection: Connection, eligibility: Eligibility, limits: ModelLimits | None) -> _Section:
    """Return the section about job creation."""
    now, dates, last = eligibility.checked_at, connection.dates(), eligibility.last_inference
    models = connection.models_of(connection.history(eligibility), now).models
    ends = ends_by_day(models)
    notes = [note for note in (connection.forgets, old_table(dates, now.date())) if note]
    notes += disagreements(models)
    line = moments(eligibility, connection.config.policy, ends)
    next_dates = coming(line, eligibility)
    advice = advice_for(connection, eligibility, ends)
    ruled, covered = describe_rule(eligibility, connection.config.policy), _coverage(connection, eligibility)
    replaced = [
        f"{day.replaced_by}, for what ends on {day.day}"
        for day in ends
        if day.day >= now.date() and day.replaced_by
    ]
    shown_dates = [(each.when, each.distance(now), each.text) for each in next_dates[:_MOST_DATES]]
    return _Section(
        verdict=(eligibility.verdict, _in_short(eligibility)),
        rows=[
            ("Do now", advice.command or advice.text),
            *([("", advice.text)] if advice.command is not None else []),
            *([("Next dates", shown_dates)] if shown_dates else []),
            *([("Model limits", limits_in_words(limits, _LONGEST_LIMITS))] if limits is not None else []),
            *_named("Note", notes),
        ],
        line=line,
        details=[
            *([("Why", f"{why(eligibility)}.")] if eligibility.ok else []),
            ("Organization", eligibility.organization or "not known yet for this key"),
            (
                "Last inference",
                f"{format_time(last.at)} on {last.model}, {_SOURCES[last.source]}"
                if last
                else "none is known",
            ),
            ("Coverage", covered),
            ("Rule", ruled),
            *_named("Replacement", replaced),
            *([("In Python", eligibility.remedy)] if eligibility.remedy is not None else []),
        ],
        facts={
            "eligibility": eligibility.model_dump(mode="json"),
            "why": why(eligibility),
            "rule": ruled,
            "coverage": covered,
            "dates": [_date_as_json(each, is_to_come=each in next_dates) for each in line],
            "models_end": TypeAdapter(tuple[DayOfEnds, ...]).dump_python(ends, mode="json"),
            "notes": notes,
            "model_limits": limits.model_dump(mode="json") if limits is not None else None,
            "command": advice.command,
            "what_to_do": advice.text,
        },
    )


def _named(name: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    return [("" if index else name, text) for index, text in enumerate(texts)]


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
    return f"{can} until {format_time(until)} ({time_away(until, eligibility.checked_at)})"


def advice_for(connection: Connection, eligibility: Eligibility, ends: tuple[DayOfEnds, ...]) -> Advice:
    """Return the one thing to do."""
    if connection.inactive_because is not None:
        return Advice(None, connection.inactive_because)
    keep_alive = connection.config.keep_alive or KeepAlive()
    return advise(eligibility, ends, keep_alive, has_admin_key=connection.guard.has_admin_key)


def _date_as_json(each: Moment, *, is_to_come: bool) -> dict[str, object]:
    return {
        "kind": each.mark.value,
        "day": each.day.isoformat() if each.day is not None else None,
        "at": each.at.isoformat() if each.day is None else None,
        "text": each.text,
        "to_come": is_to_come,
    }


def _coverage(connection: Connection, eligibility: Eligibility) -> str:
    until, now = eligibility.covered_until, eligibility.checked_at
    if until is not None:
        read = f"The whole organization's usage was read up to {format_time(until)}, {time_away(until, now)}."
        is_recent = eligibility.coverage is Coverage.ORGANIZATION
        return read if is_recent else f"{read} finetune-guard sync reads it anew."
    with_a_key = "" if connection.guard.has_admin_key else "with an admin key (OPENAI_ADMIN_KEY) "
    return (
        "Only programs that share this history were seen. Others of the organization may have run "
        f"inferences that are not known here; {with_a_key}finetune-guard sync finds them."
    )


def _deployments(connection: Connection, now: datetime) -> _Section:
    """Return the section about deployments that are deleted when idle."""
    known = connection.deployments()
    alive = [each for each in known if each.is_covered]
    facts = {"deployments": [each.model_dump(mode="json") for each in known]} if known else {}
    if not alive:
        none = [("Deployments", "none is known to end: finetune-guard deployments")]
        return _Section(rows=[] if connection.covers_jobs else none, facts=facts)
    names = unambiguous(alive)
    rows = [(name, end_in_words(each, now)) for name, each in zip(names, alive, strict=True)]
    more = len(rows) - _MOST_DEPLOYMENTS
    shown = rows[:_MOST_DEPLOYMENTS] + (
        [("", f"and {more} more: finetune-guard deployments")] if more > 0 else []
    )
    return _Section(rows=[("Deployments", shown), *_to_do(alive[0], names[0], now)], facts=facts)


def _to_do(soonest: Deployment, name: str, now: datetime) -> _Rows:
    """Return what to do about the deployment that ends first, or nothing if that is far off."""
    if soonest.ends is None or now < soonest.ends[0] - soonest.policy.warn_within:
        return []
    return [
        ("Do now", f"finetune-guard keep-alive --deployment {name}"),
        ("", f"It makes one small call. {soonest.policy.cost} To let it go instead:"),
        ("", f"finetune-guard deployments --forget {name}"),
    ]
