"""The parts of ``finetune-guard status``, and the part about deployments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from finetune_guard.cli.connection import Connection
from finetune_guard.domain.verdict import Verdict
from finetune_guard.rules.deployments import Deployment, unambiguous
from finetune_guard.rules.idle_messages import end_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_DEPLOYMENTS = 5
Rows = Sequence[tuple[str, str | Sequence[Sequence[str]]]]
"""Named facts: text, or rows of columns."""


@dataclass(frozen=True)
class Section:
    """One part of the status.

    Attributes:
        verdict: Its verdict and what that means, as a sentence; None where it has none.
        rows: What is shown in any case, by names.
        details: What is shown with ``-v``, too.
        drawing: What is drawn above the details, for a number of columns.
        facts: What programs read, by the names in the JSON.
    """

    verdict: tuple[Verdict, str] | None = None
    rows: Rows = ()
    details: Rows = ()
    drawing: Callable[[int], Sequence[RenderableType]] = lambda _width: ()
    facts: Mapping[str, object] = field(default_factory=dict)


def deployments_alive(connection: Connection, now: datetime) -> Section | None:
    """Return the deployments that end if nobody calls them; None where there are none to speak of."""
    known = connection.deployments()
    alive = [each for each in known if each.is_covered]
    facts = {"deployments": [each.model_dump(mode="json") for each in known]} if known else {}
    if not alive:
        if connection.speaks_of_jobs:
            return Section(facts=facts) if known else None
        return Section(
            rows=[("Deployments", "none is known to end: finetune-guard deployments")], facts=facts
        )
    names = unambiguous(alive)
    rows = [
        (name, end_in_words(each, now)) for name, each in zip(names, alive[:_MOST_DEPLOYMENTS], strict=False)
    ]
    more = len(alive) - len(rows)
    rows += [("", f"and {more} more: finetune-guard deployments")] if more else []
    return Section(rows=[("Deployments", rows), *_to_do(alive[0], names[0], now)], facts=facts)


def _to_do(soonest: Deployment, name: str, now: datetime) -> Rows:
    """Return what to do about the deployment that ends first; nothing where that is far off."""
    if soonest.ends is None or now < soonest.ends[0] - soonest.policy.warn_within:
        return []
    return [
        ("Do now", f"finetune-guard keep-alive --deployment {name}"),
        ("", f"It makes one small call. {soonest.policy.cost} To let it go instead:"),
        ("", f"finetune-guard deployments --forget {name}"),
    ]
