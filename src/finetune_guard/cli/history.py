"""``finetune-guard history``: what is remembered of one organization."""

from __future__ import annotations

from collections import Counter
from datetime import date

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.options import Debug, Json
from finetune_guard.gate import moment
from finetune_guard.history import History
from finetune_guard.models import published_catalog

_DAYS = 60


def history(*, as_json: Json = False, debug: Debug = False) -> None:  # noqa: ARG001 -- read by its callback
    """List the fine-tuned models, the latest inference known of each, and the inferences of each day.

    Nothing is asked of the API.
    """
    connection = connect()
    remembered = connection.guard.history()
    if as_json:
        typer.echo(remembered.model_dump_json())
    elif not remembered.models:
        typer.echo(_emptiness(connection, remembered))
    else:
        _draw(remembered, connection.guard.check().checked_at.date())


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


def _draw(remembered: History, today: date) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich
    from finetune_guard.identity import is_named  # noqa: PLC0415 -- as above

    screen, catalog = render.Screen(), published_catalog()
    name = remembered.organization if is_named(remembered.organization) else "not known yet for this key"
    newest_first = sorted(remembered.models.values(), key=lambda inference: inference.at, reverse=True)
    rows = [
        (
            inference.model,
            moment(inference.at),
            inference.source.value,
            str(catalog.shutdown_of(inference.model) or "unknown"),
        )
        for inference in newest_first
    ]
    days = render.days_up_to(today, _DAYS)
    counts = [sum(remembered.daily.get(day, {}).values()) for day in days]
    sources: Counter[str] = Counter()
    for counted in remembered.daily.values():
        sources.update({source.value: count for source, count in counted.items()})
    screen.draw(
        f"Organization: {name}",
        "",
        *render.entries(("Model", "Latest inference", "Source", "Shutdown"), rows, screen.width),
        "",
        f"Inferences counted on each of the past {_DAYS} days, {days[0]} to {days[-1]}:",
        render.sparkline(counts),
        f"Most on one day: {max(counts)}. On these days: {sum(counts)}. Ever: {_in_words(sources)}.",
        "Shutdown days are the published ones, give or take a day.",
    )


def _in_words(sources: Counter[str]) -> str:
    return ", ".join(f"{count} {source}" for source, count in sources.most_common()) or "none"
