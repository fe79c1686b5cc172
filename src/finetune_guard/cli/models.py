"""``finetune-guard models``: list every fine-tuned model and when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.model_sheet import is_used, plain_rows, sheet, summary
from finetune_guard.cli.options import Json, duration, must_name_a_model
from finetune_guard.cli.output import note, say
from finetune_guard.cli.timeline import counted, days_away, source_in_words, with_ability
from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.model_ids import base_of
from finetune_guard.rules.inventory import Inventory, ModelRecord
from finetune_guard.rules.model_messages import old_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_NEWS = (
    "the API has other shutdown dates than the other commands show. To have them remembered, run "
    "finetune-guard models --refresh."
)


def models(
    *,
    base: Annotated[str | None, typer.Option(help="Only fine-tunes of this base model.")] = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Only models without an inference known within the window.")
    ] = False,
    ending: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only models that end within a time, such as 30d.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Remember the shutdown dates that the API tells.")
    ] = False,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each model, for a sheet.")] = False,
) -> None:
    """List the fine-tuned models and when each of them ends.

    These are the models that the key can see or the history knows; the first to end stands first. GET
    /models and GET /fine_tuning/jobs are asked, with or without --refresh. In a pipe there is one row for
    each model, and the summary stands on stderr.

    Exit codes: 0 all was read; 5 with --ending: a model ends within that time; 6 the API did not answer all
    that was asked, so that models may be missing; 2 no key or a wrong setting; 1 failure.
    """
    if as_json and as_csv:
        raise SetupError("--json and --csv exclude each other.")
    must_name_a_model(base)
    within = duration("--ending", ending)
    connection = connect().must_guard_jobs("No models are asked of")
    everything = connection.guard.models(refresh=refresh)
    window = connection.config.policy.window
    found = everything.model_copy(
        update={"models": tuple(_selected(everything, base, within, window, unused=unused))}
    )
    if as_json:
        typer.echo(found.model_dump_json())
    elif as_csv:
        typer.echo(sheet(found), nl=False)
    else:
        _show(found, everything, window)
    dates = connection.dates()
    ends = [(each.shutdown, dates.shutdown_of(each.id)) for each in found.models]
    differ = any((one and one.day) != (other and other.day) for one, other in ends)
    note(
        old_table(dates, found.as_of.date()),
        _NEWS if differ else None,
        connection.forgets if refresh else None,
    )
    if not found.complete:
        why = f" ({found.failure})" if found.failure is not None else ""
        say(
            f"Incomplete: the API did not answer all that was asked{why}. Models may be missing; those that "
            "the history knows are there.",
            err=True,
        )
    if within is not None and found.models:
        raise typer.Exit(ExitCode.MODEL_ENDS)
    if not found.complete:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _selected(
    inventory: Inventory,
    base: str | None,
    within: timedelta | None,
    window: timedelta | None,
    *,
    unused: bool,
) -> Iterator[ModelRecord]:
    """Yield the models that match the options."""
    today, since = inventory.as_of.date(), inventory.as_of - (window or timedelta(0))
    bases = {base_of(base), *(each.id for each in published_catalog().versions_of(base))} if base else set()
    for record in inventory.models:
        end = record.shutdown
        days = end.days_left(today) if end is not None and not end.is_over(today) else None
        if (
            (base is None or record.base in bases)
            and not (unused and is_used(record, since))
            and (within is None or (days is not None and timedelta(days=days) <= within))
        ):
            yield record


def _show(found: Inventory, everything: Inventory, window: timedelta | None) -> None:
    said = summary(found, window)
    if not everything.models:
        said = ["No fine-tuned model is visible to this key or known to the history."]
    elif not found.models:
        said = [f"None of {counted(len(everything.models), 'known fine-tuned model')} matches."]
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen = render.Screen()
    if found.models and screen.is_terminal:
        below = "A key sees the models of its own project only. Published days are ±1 day."
        screen.leaf("\n".join(said), "", *_grouped(found.models, screen.width), below)
        return
    if found.models:
        typer.echo(plain_rows(found), nl=False)
    say("\n".join(said), err=True)


def _grouped(records: Sequence[ModelRecord], width: int) -> Iterator[RenderableType]:
    """Group models with the same end and base under a common heading, most recently used first."""
    from rich.text import Text  # noqa: PLC0415 -- as above

    from finetune_guard.cli import render  # noqa: PLC0415 -- as above

    groups = [list(group) for _, group in groupby(sorted(records, key=_together), _common)]
    told = [[_told(record) for record in group] for group in groups]
    headings = ("Model", "Created", "Last used", "")
    for group, lines in zip(groups, render.alike(headings, told, width, indent="  "), strict=True):
        first = group[0]
        ends, facts = "End unknown", []
        if first.shutdown is not None and first.days_left is not None:
            ends = f"{first.shutdown.day}, {days_away(first.days_left)}"
            facts.append(f"Date from {source_in_words(first.shutdown)}.")
        if first.replacement is not None:
            facts.append(
                f"Replacement: {with_ability(first.replacement, first.replacement_can_be_fine_tuned)}."
            )
        yield Text(f"{ends}: {counted(len(group), 'fine-tuned model')} of {first.base}", "bold")
        yield from ([Text(" ".join(facts), "dim")] if facts else [])
        yield lines
        yield ""


def _common(record: ModelRecord) -> tuple[date, str, str]:
    if record.shutdown is None:
        return date.max, "", record.base
    return record.shutdown.day, source_in_words(record.shutdown), record.base


def _together(record: ModelRecord) -> tuple[tuple[date, str, str], float, str]:
    last = record.last_inference
    return _common(record), -last.at.timestamp() if last is not None else 0, record.id


def _told(record: ModelRecord) -> tuple[str, ...]:
    created = str(record.created_at.date()) if record.created_at is not None else "unknown"
    last = record.last_inference
    latest = str(last.at.date()) if last is not None else "not known"
    step = f"checkpoint at step {record.checkpoint_step}" if record.checkpoint_step is not None else ""
    return (
        record.id,
        created,
        latest,
        ", ".join(filter(None, (step, "" if record.visible else "known from the history only"))),
    )
