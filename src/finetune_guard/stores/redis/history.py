"""How a history is put together from rows on a server, and taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeVar

from finetune_guard.domain.history import Activity, Evidence, History
from finetune_guard.stores import codec
from finetune_guard.stores.keys import key, parts
from finetune_guard.stores.redis.keys import index_of, names_in

if TYPE_CHECKING:
    from finetune_guard.stores.redis.rows import Change

_T = TypeVar("_T")
_RECEIPT_KEPT = timedelta(days=1)


@dataclass
class IdempotencyKey:
    """What tells inferences that are sent together from all others, however often they are sent.

    Attributes:
        sender: Who sends them. It sends no others before it knows whether they have arrived, so that the
            server needs to remember one token of each sender.
        token: Random, and another one each time: a copy of a whole process would count on alike.
        has_arrived: Whether that is known; from then on its sender may send others.
    """

    sender: str
    token: str
    has_arrived: bool = False


def evidence(found: Mapping[str, str], organization: str) -> Evidence:
    """Return the summary among the rows that were found."""
    text = found.get(key("evidence", organization))
    return (
        codec.evidence_from(text, organization) if text is not None else Evidence(organization=organization)
    )


def named(found: Mapping[str, str], kind: str, *parents: str, read: Callable[[object], _T]) -> dict[str, _T]:
    """Return the rows of a table among those that were found, by name."""
    named = ((parts(row), text) for row, text in found.items())
    return {names[-1]: read(text) for names, text in named if names[:-1] == (kind, *parents)}


def history(found: Mapping[str, str], organization: str) -> History:
    """Return the history whose rows were found."""
    texts = named(found, "model", organization, read=str)
    counted = named(found, "day", organization, read=codec.counts_from)
    return History(
        evidence=evidence(found, organization),
        models={model: codec.inference_from(text, organization, model) for model, text in texts.items()},
        daily={codec.day_from(day): counts for day, counts in counted.items()},
    )


def _keys(organization: str, models: Iterable[str], days: Iterable[date]) -> list[str]:
    return [
        key("evidence", organization),
        *(key("model", organization, model) for model in models),
        *(key("day", organization, day.isoformat()) for day in days),
    ]


def part(change: Change, organization: str, models: Iterable[str], days: Iterable[date]) -> History:
    """Return the part of a history that a change touches."""
    return history(change.read(*_keys(organization, models, days)), organization)


def write(change: Change, history: History) -> None:
    """Write a part of a history."""
    name = history.organization
    change.write(key("evidence", name), codec.evidence_text(history.evidence))
    for model, inference in history.models.items():
        change.write(key("model", name, model), codec.inference_text(inference))
    for day, counts in history.daily.items():
        change.write(key("day", name, day.isoformat()), codec.counts_text(dict(counts)))


def move(change: Change, alias: str, organization: str) -> None:
    """Merge what is kept under ``alias`` into the organization's history, and remove it there."""
    indexes = [index_of("model", alias), index_of("day", alias)]
    found = change.read(*indexes)
    models = names_in(found.get(indexes[0]))
    days = [codec.day_from(day) for day in names_in(found.get(indexes[1]))]
    kept = _keys(alias, models, days)
    change.read(*kept, *_keys(organization, models, days))
    write(change, part(change, organization, models, days).merged(part(change, alias, models, days)))
    for row in kept:
        change.write(row, None)


def record(change: Change, organization: str, activities: Sequence[Activity], parcel: IdempotencyKey) -> None:
    """Add ``activities`` to a history, unless they have been added; leave a receipt that they were."""
    touched = {activity.inference.model for activity in activities}
    counted = {day for activity in activities for day in activity.counts}
    receipt, token = key("receipt", parcel.sender), codec.plain_text(parcel.token)
    found = change.read(receipt, *_keys(organization, touched, counted))
    if found.get(receipt) != token:
        write(change, part(change, organization, touched, counted).recorded_all(activities))
        change.write(receipt, token, _RECEIPT_KEPT)
