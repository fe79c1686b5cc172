"""The list of models: grouped by their end in a terminal, one line for each in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from finetune_guard.cli import render
from finetune_guard.cli.ends import source_in_words
from finetune_guard.cli.timeline import days_away
from finetune_guard.domain.shutdowns import Shutdown
from finetune_guard.rules.inventory import Inventory, ModelRecord
from finetune_guard.rules.messages import moment

_MOST_DAYS = 3
_FLAT = (
    "Model",
    "Ends",
    "Days left",
    "Date from",
    "Replacement",
    "Base",
    "Created",
    "Latest inference",
    "Note",
)
_GROUPED = ("Model", "Created", "Latest inference", "")


def draw(inventory: Inventory) -> None:
    """Print the models, by pages where they are more than the terminal has lines."""
    screen = render.Screen()
    if not inventory.models:
        screen.draw("No fine-tuned model is visible to this key or known to the history.")
        return
    parts: list[RenderableType] = [summary(inventory), ""]
    if screen.is_terminal:
        parts += _grouped(inventory.models, screen.width)
    else:
        parts += [render.entries(_FLAT, [_flat(record) for record in inventory.models], screen.width), ""]
    parts.append("A key sees the models of its own project only. Published days are ±1 day.")
    screen.leaf(*parts)


def summary(inventory: Inventory) -> str:
    """Return how many models there are, and how many of them end when."""
    today = inventory.as_of.date()
    ends: Counter[date] = Counter()
    over = unknown = 0
    for record in inventory.models:
        if record.shutdown is None:
            unknown += 1
        elif record.shutdown.is_over(today):
            over += 1
        else:
            ends[record.shutdown.day] += 1
    days = sorted(ends)
    parts = [f"{over:,} {'has' if over == 1 else 'have'} ended"] if over else []
    parts += [
        f"{ends[day]:,} {_end(ends[day])} on {day} ({days_away((day - today).days)})"
        for day in days[:_MOST_DAYS]
    ]
    later = sum(ends[day] for day in days[_MOST_DAYS:])
    parts += [f"{later:,} {_end(later)} later"] if later else []
    parts += [f"the end of {unknown:,} is unknown"] if unknown else []
    return f"{_number(len(inventory.models))}: {', '.join(parts)}."


def _grouped(records: Sequence[ModelRecord], width: int) -> Iterator[RenderableType]:
    """Models with the same end and base, below what they have in common."""
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
        yield Text(f"{ends}: {_number(len(group))} of {first.base}", "bold")
        yield from ([Text(" ".join(facts), "dim")] if facts else [])
        yield lines
        yield ""


def _common(record: ModelRecord) -> tuple[date, str, str]:
    if record.shutdown is None:
        return date.max, "", record.base
    return record.shutdown.day, source_in_words(record.shutdown), record.base


def _together(record: ModelRecord) -> tuple[tuple[date, str, str], str]:
    return _common(record), record.id


def _told(record: ModelRecord) -> tuple[str, ...]:
    created = str(record.created_at.date()) if record.created_at is not None else "unknown"
    last = record.last_inference
    latest = f"{moment(last.at)}, {last.source.value}" if last is not None else "none known"
    return record.id, created, latest, _note(record)


def _flat(record: ModelRecord) -> tuple[str, ...]:
    model, created, latest, note = _told(record)
    return (
        model,
        *_ends(record.shutdown, record.days_left),
        _replacement(record),
        record.base,
        created,
        latest,
        note,
    )


def _ends(shutdown: Shutdown | None, days_left: int | None) -> tuple[str, str, str]:
    if shutdown is None:
        return "unknown", "", ""
    return str(shutdown.day), str(days_left), source_in_words(shutdown)


def _replacement(record: ModelRecord) -> str:
    if record.replacement is None:
        return ""
    ability = {True: ", which can be fine-tuned", False: ", which can't be fine-tuned", None: ""}
    return f"{record.replacement}{ability[record.replacement_can_be_fine_tuned]}"


def _note(record: ModelRecord) -> str:
    step = f"checkpoint at step {record.checkpoint_step}" if record.checkpoint_step is not None else ""
    return ", ".join(filter(None, (step, "" if record.visible else "known from the history only")))


def _number(count: int) -> str:
    return "1 fine-tuned model" if count == 1 else f"{count:,} fine-tuned models"


def _end(count: int) -> str:
    return "ends" if count == 1 else "end"
