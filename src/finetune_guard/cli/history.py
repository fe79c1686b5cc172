"""``finetune-guard history``: the inferences that are remembered of one organization, or of all."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import say
from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import History
from finetune_guard.rules.messages import moment

_DAYS = 60


def history(
    context: typer.Context,
    *,
    everyone: Annotated[
        bool, typer.Option("--all", help="List every organization that the store knows; needs no key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the inferences that are remembered.

    For each fine-tuned model the latest one is shown, and for the organization how many there were each day.
    Nothing is asked of the API.
    """
    if context.invoked_subcommand is not None:
        return
    connection = connect(needs_key=not everyone)
    if everyone:
        from finetune_guard.cli.history_all import list_organizations  # noqa: PLC0415 -- of no other use

        list_organizations(connection, as_json=as_json)
        return
    remembered = connection.guard.history()
    if as_json:
        typer.echo(remembered.model_dump_json())
    elif not remembered.models:
        say(_emptiness(connection, remembered))
    else:
        _draw(connection, remembered, connection.guard.check().checked_at)


def _emptiness(connection: Connection, remembered: History) -> str:
    said = ["No inference on a fine-tuned model is known for this key's organization."]
    earlier = remembered.evidence.fine_tuned_by
    if earlier is not None:
        said.append(f"It has fine-tuned before: there is a trace from {moment(earlier)}.")
    elif remembered.evidence.no_trace_at is not None:
        said.append(f"On {moment(remembered.evidence.no_trace_at)} the API showed no earlier fine-tuning.")
    said.append(f"The history is looked for in {connection.config.open_store().location}.")
    said += [hint for hint in (connection.forgets, connection.inactive_because) if hint is not None]
    return "\n".join(said)


def _draw(connection: Connection, remembered: History, now: datetime) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich
    from finetune_guard.domain.organizations import is_named  # noqa: PLC0415 -- as above

    screen, dates = render.Screen(), connection.dates()
    name = remembered.organization if is_named(remembered.organization) else "not known yet for this key"
    newest_first = sorted(remembered.models.values(), key=lambda inference: inference.at, reverse=True)
    rows = [
        (
            inference.model,
            moment(inference.at),
            inference.source.value,
            str(shutdown.day) if (shutdown := dates.of(inference.model)) is not None else "unknown",
        )
        for inference in newest_first
    ]
    days = render.days_up_to(now.date(), _DAYS)
    counts = [remembered.inferences_on(day) for day in days]
    screen.leaf(
        f"Organization: {name}",
        "",
        render.entries(("Model", "Latest inference", "Source", "Shutdown"), rows, screen.width),
        "",
        f"Inferences counted on each of the past {_DAYS} days, {days[0]} to {days[-1]}:",
        render.sparkline(counts),
        f"Most on one day: {max(counts)}. On these days: {sum(counts)}. Ever: {_ever(remembered)}.",
        "Shutdown days are the published ones, give or take a day.",
    )


def _ever(remembered: History) -> str:
    """Return how many inferences there were at least, and how many each source tells of."""
    sources: Counter[Source] = Counter()
    for counted in remembered.daily.values():
        sources.update(counted)
    told = ", ".join(f"{count} {source.value}" for source, count in sources.most_common())
    if Source.USAGE_API in sources and len(sources) > 1:
        told += "; usage_api counts the others' inferences too"
    total = sum(map(remembered.inferences_on, remembered.daily))
    return f"{total} ({told})" if told else "none"
