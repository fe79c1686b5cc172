"""The list of models in a terminal, grouped by their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from finetune_guard.cli import render
from finetune_guard.cli.ends import source_in_words
from finetune_guard.cli.model_sheet import counted
from finetune_guard.cli.timeline import days_away
from finetune_guard.rules.inventory import Inventory, ModelRecord

_GROUPED = ("Model", "Created", "Last used", "")


def draw(inventory: Inventory, said: Sequence[str]) -> None:
    """Print the models below what is ``said``, by pages where they are more than the terminal has lines."""
    screen = render.Screen()
    screen.leaf(
        "\n".join(said),
        "",
        *_grouped(inventory.models, screen.width),
        "A key sees the models of its own project only. Published days are ±1 day.",
    )


def _grouped(records: Sequence[ModelRecord], width: int) -> Iterator[RenderableType]:
    """Models with the same end and base, below what they have in common; those used last stand first."""
    groups = [list(group) for _, group in groupby(sorted(records, key=_together), _common)]
    told = [[_told(record) for record in group] for group in groups]
    for group, lines in zip(groups, render.alike(_GROUPED, told, width, indent="  "), strict=True):
        first = group[0]
        ends, facts = "End unknown", []
        if first.shutdown is not None and first.days_left is not None:
            ends = f"{first.shutdown.day}, {days_away(first.days_left)}"
            facts.append(f"Date from {source_in_words(first.shutdown)}.")
        if first.replacement is not None:
            facts.append(f"Replacement: {_replacement(first)}.")
        yield Text(f"{ends}: {counted(len(group))} of {first.base}", "bold")
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
    return record.id, created, latest, _note(record)


def _replacement(record: ModelRecord) -> str:
    if record.replacement is None:
        return ""
    ability = {True: ", which can be fine-tuned", False: ", which can't be fine-tuned", None: ""}
    return f"{record.replacement}{ability[record.replacement_can_be_fine_tuned]}"


def _note(record: ModelRecord) -> str:
    step = f"checkpoint at step {record.checkpoint_step}" if record.checkpoint_step is not None else ""
    return ", ".join(filter(None, (step, "" if record.visible else "known from the history only")))
