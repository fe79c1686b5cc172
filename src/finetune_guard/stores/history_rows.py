"""Histories as rows: which rows a history has, how they are read, changed and moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from finetune_guard.domain.facts import Inference, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.stores import codec
from finetune_guard.stores.keys import Row

if TYPE_CHECKING:
    from finetune_guard.stores.rows import Change, Rows

_T = TypeVar("_T")


def rows_of(history: History) -> dict[Row, tuple[codec.Form[Any], Any]]:
    """Return the rows of a history, or of a part of one, each with its form and what it holds."""
    name = history.organization
    return {
        ("evidence", name): (codec.EVIDENCE, history.evidence),
        **{("model", name, model): (codec.INFERENCE, each) for model, each in history.models.items()},
        **{("day", name, day.isoformat()): (codec.COUNTS, counts) for day, counts in history.daily.items()},
    }


def touched(organization: str, do: Callable[[History], History]) -> Iterable[Row]:
    """Return the rows that ``do`` changes in any history: thousands of models are not read for one."""
    return rows_of(do(History(evidence=Evidence(organization=organization))))


def update(
    change: Change, organization: str, do: Callable[[History], History], *texts: Mapping[Row, str]
) -> None:
    """Have ``do`` change a history; the fields of its rows and ``texts`` that aren't known here are kept."""
    found = change.read(*touched(organization, do))
    write_history(change, do(history_in(found, organization)), found, *texts)


def move(change: Change, alias: str, organization: str) -> None:
    """Merge what is kept under an alias into the organization's history, and remove it there."""
    kept = change.read(("evidence", alias), tables=[("model", alias), ("day", alias)])
    renamed = {
        (kind, organization, *names): codec.renamed(text, organization)
        for (kind, _, *names), text in kept.items()
    }
    update(change, organization, lambda known: known.merged(history_in(kept, alias)), renamed)
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
    for row, (form, fact) in rows_of(history).items():
        write_fact(change, row, form, fact, *found)


def write_fact(change: Change, row: Row, form: codec.Form[_T], fact: _T, *found: Mapping[Row, str]) -> None:
    """Write a fact, with the fields of its row in ``found`` that this release doesn't know."""
    change.write(row, form.text(fact, *(texts[row] for texts in found if row in texts)))
