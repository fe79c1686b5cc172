"""``finetune-guard calendar``: the upcoming dates as an iCalendar file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import need_extra
from finetune_guard.cli.options import Refresh
from finetune_guard.cli.output import note
from finetune_guard.cli.timeline import DayOfEnds, counted, ends_by_day
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.rules.deployments import Deployment, EndKind, upcoming_ends
from finetune_guard.rules.endings import THRESHOLDS
from finetune_guard.rules.idle_messages import end_in_words, idle_rule
from finetune_guard.rules.messages import format_time

_CLOSING = "closing"
_MOST_NAMED = 50
_EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)
_RETIREMENTS = {
    "deployment_retirement": (
        "Deployments of fine-tuned models retire",
        "Calls of these fail from this day on",
    ),
    "training_retirement": (
        "Training of base models may retire from this day on",
        "It ends no earlier than this day; when it does is not published. These deployments rest on them",
    ),
}


class _Event(NamedTuple):
    """One calendar entry; its kind makes a stable UID, so that the next file updates it."""

    kind: str
    start: date | datetime
    summary: str
    description: str
    earliest_alarm: timedelta = timedelta(days=THRESHOLDS[-1])


def calendar(*, refresh: Refresh = False) -> None:
    """Print the upcoming dates as an iCalendar file.

    To write one: `finetune-guard calendar > ends.ics`. It holds the end of the window, the day on which
    the creation of jobs ends, each day on which models end, and when deployments are deleted that nobody
    calls, with alarms 30, 15, 7 and 1 days before.
    A program that imports the file again updates what it has. This command needs the extra `calendar`.

    Exit codes: 0 printed; 2 no key, a wrong setting or no extra `calendar`; 1 failure, such as a
    history that can't be read.
    """
    need_extra("icalendar", "calendar")
    connection = connect().must_be_active("No calendar is made for")
    eligibility = connection.guard.check(refresh=refresh)
    events: list[_Event] = []
    if connection.guard.guards_jobs:
        events += _of_jobs(connection, eligibility)
    events += _of_deployments(connection.guard.deployments(everywhere=True), eligibility.checked_at)
    sys.stdout.flush()
    typer.echo(_as_ical(events, eligibility), nl=False)
    note(None if events else "no date is to come, so the calendar is empty.")


def _of_jobs(connection: Connection, eligibility: Eligibility) -> Iterator[_Event]:
    """Yield the upcoming dates: the window's end, the end of job creation, and the models' ends."""
    policy, now, closing = connection.config.policy, eligibility.checked_at, eligibility.creation_ends_on
    closes, band = eligibility.window_closes_at, policy.closing.begins if policy.closing is not None else None
    if closes is not None and closes == eligibility.jobs_until:
        is_published = eligibility.phase.window == timedelta(days=60)
        yield _Event(
            "window",
            closes,
            f"OpenAI fine-tuning: the {'60-day ' if is_published else ''}window closes",
            f"Unless an inference on a fine-tuned model is run before {format_time(closes)}, the "
            "organization "
            "can't create fine-tuning jobs any more. finetune-guard keep-alive renews the window; the next "
            "calendar then moves this event.",
        )
    if closing is not None and band is not None and now < band[1]:
        yield _Event(
            _CLOSING,
            closing,
            "OpenAI fine-tuning: job creation ends for everybody",
            f"From {closing} on nobody can create fine-tuning jobs. The hour and the time zone are not "
            "published. Create the jobs that are still needed before. Models answer until their own end.",
        )
    ends = ends_by_day(connection.models_of(connection.guard.history(), now).models)
    yield from (_end(day) for day in ends if day.day >= now.date())


def _end(ends: DayOfEnds) -> _Event:
    number, by = len(ends.models), ends.replaced_by
    named = list(ends.models[:_MOST_NAMED])
    if number > _MOST_NAMED:
        named.append(f"and {number - _MOST_NAMED:,} more: finetune-guard models lists all")
    replacement = f"Published replacement: {by}.\n" if by is not None else ""
    return _Event(
        f"end-{ends.day}",
        ends.day,
        f"Shutdown of {counted(number, 'fine-tuned model')}",
        "Calls of these models fail from this day on. Published days can be off by one. "
        "finetune-guard export saves the jobs and files.\n" + replacement + "\n".join(named),
    )


def _of_deployments(deployments: Iterable[Deployment], now: datetime) -> Iterator[_Event]:
    """Yield the day each idle deployment may be deleted, and the retirement dates of its base model."""
    retiring: dict[tuple[EndKind, date], list[str]] = {}
    for end in upcoming_ends(deployments):
        each = end.deployment
        where = f"{each.name} at {each.resource}"
        if end.kind != "idle":
            retiring.setdefault((end.kind, end.day), []).append(where)
        elif end.day >= now.date():
            yield _Event(
                f"idle-{each.resource}-{each.name}",
                end.day,
                f"Deployment {each.name} ends if nobody calls it",
                f"{where}: {end_in_words(each, now)}. {idle_rule(each.policy)} A call puts the end off; the "
                f"next calendar then moves this event. finetune-guard keep-alive --deployment {each.name} "
                f"makes one. {each.policy.cost}",
                earliest_alarm=each.policy.window / 2,
            )
    for (kind, day), names in retiring.items():
        if day >= now.date():
            summary, told = _RETIREMENTS[kind]
            yield _Event(f"{kind}-{day}", day, summary, "\n".join([f"{told}:", *names[:_MOST_NAMED]]))


def _as_ical(events: Iterable[_Event], eligibility: Eligibility) -> str:
    """Return the events as an iCalendar file (RFC 5545)."""
    from icalendar import Calendar  # noqa: PLC0415 -- an extra

    made = Calendar()
    made.add("prodid", "-//finetune-guard//calendar//EN")
    made.add("version", "2.0")
    made.add("method", "PUBLISH")
    is_jobs = eligibility.reason is not Reason.NOT_GUARDED
    name = f"Fine-tuning at OpenAI: {eligibility.organization or 'this key'}" if is_jobs else "Deployments"
    made.add("x-wr-calname", name)
    for event in events:
        made.add_component(_component(event, eligibility))
    return bytes(made.to_ical()).decode()


def _component(event: _Event, eligibility: Eligibility) -> Any:
    import icalendar  # noqa: PLC0415 -- an extra

    now, entry = eligibility.checked_at, icalendar.Event()
    whose = "everybody" if event.kind == _CLOSING else eligibility.organization or "unnamed"
    values = {
        "uid": f"{event.kind}-{whose}@finetune-guard",
        "dtstamp": now,
        "last-modified": now,
        "sequence": max(0, (now - _EPOCH) // timedelta(minutes=1)),
        "dtstart": event.start,
        "summary": event.summary,
        "description": event.description,
        "transp": "TRANSPARENT",
    }
    if not isinstance(event.start, datetime):
        values["dtend"] = event.start + timedelta(days=1)
    for name, value in values.items():
        entry.add(name, value)
    for days in (each for each in reversed(THRESHOLDS) if timedelta(days=each) <= event.earliest_alarm):
        alarm = icalendar.Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", f"In {counted(days, 'day')}: {event.summary}")
        alarm.add("trigger", -timedelta(days=days))
        entry.add_component(alarm)
    return entry
