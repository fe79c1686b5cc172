"""Histories as rows: which rows a history has, how they are read, added to and moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, TypeVar

from finetune_guard.domain.facts import Activity, Inference, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.stores import codec
from finetune_guard.stores.keys import Row

if TYPE_CHECKING:
    from finetune_guard.stores.rows import Change, Rows

_T = TypeVar("_T")


def touched(organization: str, activities: Sequence[Activity]) -> list[Row]:
    """Return the rows that change when inferences are recorded: thousands of models are not read for one."""
    models = {activity.inference.model for activity in activities}
    return rows_of(organization, models, {day for activity in activities for day in activity.counts})


def add(change: Change, organization: str, activities: Sequence[Activity]) -> None:
    """Add inferences to an organization's history."""
    found = change.read(*touched(organization, activities))
    write_history(change, history_in(found, organization).recorded(*activities), found)


def rows_of(organization: str, models: Iterable[str], days: Iterable[date]) -> list[Row]:
    """Return the rows of an organization's summary, of these models and of these days."""
    return [
        ("evidence", organization),
        *(("model", organization, model) for model in models),
        *(("day", organization, day.isoformat()) for day in days),
    ]


def merge(change: Change, organization: str, history: History, *texts: Mapping[Row, str]) -> None:
    """Merge ``history``, with the fields of its rows' ``texts`` that this release doesn't know."""
    found = change.read(*rows_of(organization, history.models, history.daily))
    write_history(change, history_in(found, organization).merged(history), found, *texts)


def move(change: Change, alias: str, organization: str) -> None:
    """Merge what is kept under an alias into the organization's history, and remove it there."""
    kept = change.read(("evidence", alias), tables=[("model", alias), ("day", alias)])
    renamed = {
        (kind, organization, *names): codec.renamed(text, organization)
        for (kind, _, *names), text in kept.items()
    }
    merge(change, organization, history_in(kept, alias), renamed)
    for row in kept:
        change.write(row, None)


def fact_in(rows: Rows, row: Row, form: codec.Form[_T]) -> _T | None:
    """Return the fact that a row holds; None where there is no such row."""
    text = rows.read(row).get(row)
    return form.read(text) if text is not None else None


def history_in(found: Mapping[Row, str], organization: str) -> History:
    """Return the history, or the part of it, whose rows were found, and no others."""
    evidence = Evidence(organization=organization)
    models: dict[str, Inference] = {}
    daily: dict[date, Mapping[Source, int]] = {}
    for (kind, _, *names), text in found.items():
        if kind == "evidence":
            evidence = codec.evidence_from(text, organization)
        elif kind == "model":
            models[names[0]] = codec.inference_from(text, organization, names[0])
        else:
            daily[codec.day_from(names[0])] = codec.COUNTS.read(text)
    return History(evidence=evidence, models=models, daily=daily)


def write_history(change: Change, history: History, *found: Mapping[Row, str]) -> None:
    """Write a part of a history, with the fields of the rows ``found`` that this release doesn't know."""
    name = history.organization
    write_fact(change, ("evidence", name), codec.EVIDENCE, history.evidence, *found)
    for model, inference in history.models.items():
        write_fact(change, ("model", name, model), codec.INFERENCE, inference, *found)
    for day, counts in history.daily.items():
        write_fact(change, ("day", name, day.isoformat()), codec.COUNTS, counts, *found)


def write_fact(change: Change, row: Row, form: codec.Form[_T], fact: _T, *found: Mapping[Row, str]) -> None:
    """Write a fact, with the fields of its row in ``found`` that this release doesn't know."""
    change.write(row, form.text(fact, *(texts[row] for texts in found if row in texts)))
