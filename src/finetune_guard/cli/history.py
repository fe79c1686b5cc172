"""``finetune-guard history``: list or remove the stored inferences of one organization or of all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer
from pydantic import BaseModel

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import SetupError
from finetune_guard.cli.options import Json, Yes
from finetune_guard.cli.output import say
from finetune_guard.domain.facts import Source, Span
from finetune_guard.domain.history import History
from finetune_guard.domain.hosts import is_resource, resource_histories, resource_of
from finetune_guard.domain.organizations import ALIAS_PREFIX, PROOF_PREFIX, is_named
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.recording.aliases import resolve
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.messages import format_time

_DAYS = 60
_BARS = "▁▂▃▄▅▆▇█"
_TAIL = 4
_MOST_ALIASES = 4


def history(
    context: typer.Context,
    *,
    everyone: Annotated[
        bool, typer.Option("--all", help="List every organization that the store knows; needs no key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the recorded inferences.

    For each fine-tuned model the latest one is shown, and for the organization how many there were each day.
    Nothing is asked of the API.
    """
    if context.invoked_subcommand is not None:
        return
    connection = connect(needs_key=not everyone)
    if everyone:
        _list_organizations(connection, as_json=as_json)
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
        said.append(f"It has fine-tuned before: there is a trace from {format_time(earlier)}.")
    elif remembered.evidence.no_trace_at is not None:
        said.append(
            f"On {format_time(remembered.evidence.no_trace_at)} the API showed no earlier fine-tuning."
        )
    said.append(f"The history is looked for in {connection.config.open_store().location}.")
    return "\n".join(filter(None, (*said, connection.forgets, connection.inactive_because)))


def _draw(connection: Connection, remembered: History, now: datetime) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen, dates = render.Screen(), connection.dates()
    name = remembered.organization if is_named(remembered.organization) else "not known yet for this key"
    newest_first = sorted(remembered.models.values(), key=lambda inference: inference.at, reverse=True)
    ends = [dates.shutdown_of(inference.model) for inference in newest_first]
    rows = [
        (each.model, format_time(each.at), each.source.value, str(end.day) if end is not None else "unknown")
        for each, end in zip(newest_first, ends, strict=True)
    ]
    days = [now.date() - timedelta(days=back) for back in reversed(range(_DAYS))]
    counts = [remembered.inferences_on(day) for day in days]
    most = max(counts)
    bars = (_BARS[(count * len(_BARS) - 1) // most] if count else "·" for count in counts)
    screen.leaf(
        f"Organization: {name}",
        "",
        render.entries(("Model", "Latest inference", "Source", "Shutdown"), rows, screen.width),
        "",
        f"Inferences counted on each of the past {_DAYS} days, {days[0]} to {days[-1]}:",
        "".join(bars),
        f"Most on one day: {most}. On these days: {sum(counts)}. Ever: {_ever(remembered)}.",
        "Shutdown days are the published ones, give or take a day.",
    )


def _ever(remembered: History) -> str:
    """Return the least possible number of inferences, and the number by source."""
    sources: Counter[Source] = Counter()
    for counted in remembered.daily.values():
        sources.update(counted)
    told = ", ".join(f"{count} {source.value}" for source, count in sources.most_common())
    if Source.USAGE_API in sources and len(sources) > 1:
        told += "; usage_api counts the others' inferences too"
    total = sum(map(remembered.inferences_on, remembered.daily))
    return f"{total} ({told})" if told else "none"


class _Known(BaseModel):
    """One organization of the store, with its aliases in a form that may be printed."""

    name: str
    aliases: tuple[str, ...]
    eligibility: Eligibility
    usage_read: tuple[Span, ...]


def _list_organizations(connection: Connection, *, as_json: bool) -> None:
    """Print a row for each organization; needs no key and asks nothing of the API."""
    known = _known(connection, connection.guard.check().checked_at)
    if as_json:
        typer.echo(json.dumps({"organizations": [each.model_dump(mode="json") for each in known]}))
    elif not known:
        said = f"No organization is known in {connection.config.open_store().location}."
        say("\n".join(filter(None, (said, connection.forgets))))
    else:
        from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

        screen = render.Screen()
        headings = ("Organization", "Verdict", "Latest inference", "Usage read", "Also called")
        screen.leaf(render.entries(headings, list(map(_row, known)), screen.width))


def _known(connection: Connection, now: datetime) -> list[_Known]:
    config = connection.config
    store = config.open_store()
    called: dict[str, list[str]] = {name: [] for name in store.organizations() if not is_resource(name)}
    finally_called: dict[str, str] = {}
    for alias, name in store.aliases().items():
        if name not in finally_called:
            finally_called[name] = resolve(store, name)
        owner = finally_called[name]
        if not is_resource(owner) and alias != owner and not alias.startswith(PROOF_PREFIX):
            called.setdefault(owner, []).append(alias)
    return [
        _Known(
            name=_short(name),
            aliases=tuple(sorted(map(_short, aliases), key=_order)),
            eligibility=decide(config.policy, evidence := store.evidence(name), now, config.refusal_ttl),
            usage_read=evidence.usage_read,
        )
        for name, aliases in sorted(called.items())
    ]


def _short(name: str) -> str:
    """Return a name for display; a key's hash is shortened to its end."""
    return name if is_named(name) else f"key …{name.removeprefix(ALIAS_PREFIX)[-_TAIL:]}"


def _order(name: str) -> tuple[bool, bool, str]:
    """Ids, then keys, then projects, which can be many."""
    return name.startswith("proj_"), name.startswith("key "), name


def _row(known: _Known) -> Sequence[str]:
    last, until, read = known.eligibility.last_inference, known.eligibility.covered_until, "never"
    if until is not None:
        read = f"to {format_time(until)}"
    elif known.usage_read:
        read = f"not the whole window, to {format_time(known.usage_read[-1].end)}"
    few, more = ", ".join(known.aliases[:_MOST_ALIASES]), len(known.aliases) - _MOST_ALIASES
    return (
        known.name,
        known.eligibility.verdict.value,
        format_time(last.at) if last is not None else "none known",
        read,
        f"{few} and {more} more" if more > 0 else few or "nothing else",
    )


def forget(
    organization: Annotated[
        str,
        typer.Argument(
            help="The name of an organization or a resource, as history --all or deployments has it."
        ),
    ],
    *,
    usage: Annotated[
        bool, typer.Option("--usage", help="Forget only what a sync has read from the organization's usage.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove the history of an organization, or only what was read from its usage.

    This takes apart what was merged wrongly, such as the usage of another organization. With --usage, what
    clients have seen themselves is kept. Nothing is asked of the API, and no key is needed. What is true is
    learnt again: by the next sync, and by the next answers that clients see.

    Exit codes: 0 it was removed; 2 the store knows no such organization; 1 it was not removed.
    """
    store = connect(needs_key=False).config.open_store()
    known = store.organizations()
    named = (resolve(store, organization), *resource_histories(organization))
    name = next((each for each in named if each in known), None)
    if name is None:
        listed = ", ".join(resource_of(each) if is_resource(each) else each for each in known) or "none"
        raise SetupError(f"No history of {organization!r} is in {store.location}. Known there: {listed}.")
    what = f"the whole history of {organization if is_resource(name) else name}"
    if usage:
        what = f"what was read from the usage of {name}"
    if not yes:
        typer.confirm(f"Remove {what} from {store.location}?", abort=True)
    store.forget(name, usage_only=usage)
    say(f"Removed {what} from {store.location}.")
