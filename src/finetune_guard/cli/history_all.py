"""The table of all organizations that the store knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import typer

from finetune_guard.cli.connection import Connection
from finetune_guard.cli.output import say
from finetune_guard.domain.facts import Span
from finetune_guard.domain.hosts import is_resource
from finetune_guard.domain.organizations import ALIAS_PREFIX, PROOF_PREFIX, is_named
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.recording.aliases import resolved
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.messages import moment

_TAIL = 4
_MOST_ALIASES = 4


@dataclass(frozen=True)
class _Known:
    """One organization.

    Attributes:
        name: What its history is called.
        aliases: Its other names, as people may see them.
        eligibility: The answer for it.
        usage_read: The spans of time for which its usage was read.
    """

    name: str
    aliases: tuple[str, ...]
    eligibility: Eligibility
    usage_read: tuple[Span, ...]


def list_organizations(connection: Connection, *, as_json: bool) -> None:
    """Print what is known of each organization; no key is needed and nothing asked of the API.

    Raises:
        StoreError: The store can't be read.
    """
    now = connection.guard.check().checked_at
    known = _known(connection, now)
    if as_json:
        typer.echo(json.dumps({"organizations": [_as_json(each) for each in known]}))
    elif not known:
        location = connection.config.open_store().location
        said = [f"No organization is known in {location}.", connection.forgets]
        say("\n".join(filter(None, said)))
    else:
        _draw(known)


def _known(connection: Connection, now: datetime) -> list[_Known]:
    store = connection.config.open_store()
    called: dict[str, list[str]] = {name: [] for name in store.organizations() if not is_resource(name)}
    finally_called: dict[str, str] = {}
    for alias, name in store.aliases().items():
        if name not in finally_called:
            finally_called[name] = resolved(store, name)
        if is_resource(finally_called[name]):
            continue
        if alias != finally_called[name] and not alias.startswith(PROOF_PREFIX):
            called.setdefault(finally_called[name], []).append(alias)
    return [
        _Known(
            short(name),
            tuple(sorted(map(short, aliases), key=_order)),
            decide(connection.config.policy, evidence := store.evidence(name), now),
            evidence.usage_read,
        )
        for name, aliases in sorted(called.items())
    ]


def short(name: str) -> str:
    """Return a name as it is shown: of the hash of a key only the end."""
    return name if is_named(name) else f"key …{name.removeprefix(ALIAS_PREFIX)[-_TAIL:]}"


def _order(name: str) -> tuple[bool, bool, str]:
    """Ids, then keys, then projects, which can be many."""
    return name.startswith("proj_"), name.startswith("key "), name


def _as_json(known: _Known) -> dict[str, object]:
    return {
        "name": known.name,
        "aliases": list(known.aliases),
        "eligibility": known.eligibility.model_dump(mode="json"),
        "usage_read": [span.model_dump(mode="json") for span in known.usage_read],
    }


def _draw(known: Sequence[_Known]) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen = render.Screen()
    headings = ("Organization", "Verdict", "Latest inference", "Usage read", "Also called")
    rows = [
        (
            each.name,
            each.eligibility.verdict.value,
            moment(each.eligibility.last_inference.at) if each.eligibility.last_inference else "none known",
            _usage_read(each),
            _also_called(each.aliases),
        )
        for each in known
    ]
    screen.leaf(render.entries(headings, rows, screen.width))


def _usage_read(known: _Known) -> str:
    until = known.eligibility.covered_until
    if until is not None:
        return f"to {moment(until)}"
    return f"not for the window, to {moment(known.usage_read[-1].end)}" if known.usage_read else "never"


def _also_called(aliases: Sequence[str]) -> str:
    more = len(aliases) - _MOST_ALIASES
    few = ", ".join(aliases[:_MOST_ALIASES])
    return f"{few} and {more} more" if more > 0 else few or "nothing else"
