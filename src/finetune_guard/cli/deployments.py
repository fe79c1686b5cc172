"""``finetune-guard deployments``: the deployments that are deleted when idle, and when."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter

from finetune_guard.azure_api.listing import list_deployments
from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import say
from finetune_guard.domain.idle_policy import AZURE
from finetune_guard.rules.deployments import Deployment, with_listing
from finetune_guard.rules.idle_messages import end_in_words, idle_rule, retirement_in_words
from finetune_guard.rules.messages import format_time


def deployments(
    *,
    forget: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Say no more of [RESOURCE/]NAME until it is called again."),
    ] = None,
    subscription: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Ask Azure as well which deployments of a subscription stand."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the deployments that were called and when each ends.

    No key is needed, and nothing is asked of any API without --subscription. That asks Azure's management
    API, with the credentials of az login or AZURE_*; it needs the extra `azure`. A call of a deployment puts
    its end off. Azure tells nobody when a deployment was last called, so that for one that no guarded client
    has called no end is known.
    """
    connection = connect(needs_key=False)
    if forget is not None:
        for each in connection.guard.forget_deployment(forget):
            say(f"Forgotten: {each.name} at {each.resource}. A later call takes that back.")
        return
    known, now = connection.guard.deployments(everywhere=True), connection.guard.check().checked_at
    if subscription is not None:
        logging.getLogger("azure").addHandler(logging.NullHandler())  # the error says it in one line
        policy = next(each for each in connection.config.idle_policies if each.name == AZURE)
        known = with_listing(known, list_deployments(subscription), policy, now)
    if as_json:
        typer.echo(TypeAdapter(tuple[Deployment, ...]).dump_json(known).decode())
    elif not known:
        say(_emptiness(connection))
    else:
        _draw(known, now)


def _emptiness(connection: Connection) -> str:
    said = (
        "No deployment is known: no guarded client has called one of a fine-tuned model yet.",
        "If answers do not name the fine-tuned model, name the deployment in FINETUNE_GUARD_DEPLOYMENTS.",
        f"The history is looked for in {connection.config.open_store().location}.",
        connection.forgets,
    )
    return "\n".join(filter(None, said))


def _draw(known: Sequence[Deployment], now: datetime) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen = render.Screen()
    headings = ("Deployment", "End", "Last call", "Serves", "Retirement")
    for resource in sorted({each.resource for each in known}):
        rows = [
            (
                each.name,
                end_in_words(each, now),
                format_time(each.last_call) if each.last_call is not None else "",
                each.served or "",
                retirement_in_words(each),
            )
            for each in known
            if each.resource == resource
        ]
        screen.draw(resource, "", render.entries(headings, rows, screen.width), "")
    rules = dict.fromkeys(each.policy for each in known)
    unknown = dict.fromkeys(words for each in known for words in each.unknown)
    facts = [("Rule", f"{idle_rule(each)} Source: {each.source}, {each.as_of}.") for each in rules]
    facts += [("Not known" if not index else "", words) for index, words in enumerate(unknown)]
    screen.draw(render.facts(facts))
