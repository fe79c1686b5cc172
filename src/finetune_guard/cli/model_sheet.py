"""The models as CSV, plain rows and a summary. Column names are stable. No I/O."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date, datetime, timedelta

from finetune_guard.cli.timeline import counted, days_away
from finetune_guard.domain.text import quoted
from finetune_guard.rules.inventory import Inventory, ModelRecord
from finetune_guard.rules.messages import format_duration

_PLAIN = (
    *("model", "ends_on", "days_left", "last_inference_at", "base", "created_at"),
    *("date_source", "replacement", "checkpoint_step", "visible", "other_dates"),
)
_MOST_DAYS = 3
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def summary(inventory: Inventory, window: timedelta | None) -> list[str]:
    """Return how many models there are, when they end, and how many were used within the window."""
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
    parts += [f"{_ends(ends[day])} on {day} ({days_away((day - today).days)})" for day in days[:_MOST_DAYS]]
    later = sum(ends[day] for day in days[_MOST_DAYS:])
    parts += [f"{_ends(later)} later"] if later else []
    parts += [f"the end of {unknown:,} is unknown"] if unknown else []
    number = len(inventory.models)
    said = [f"{counted(number, 'fine-tuned model')}: {', '.join(parts)}."]
    if window is not None:
        used = sum(is_used(record, inventory.as_of - window) for record in inventory.models)
        said.append(
            f"Used in the past {format_duration(window)}, as far as is known here: {used:,} of {number:,}."
        )
    return said


def is_used(record: ModelRecord, since: datetime) -> bool:
    """Whether a recorded inference of the model may be later than ``since``."""
    return record.last_inference is not None and record.last_inference.latest_at > since


def _ends(count: int) -> str:
    return f"{count:,} {'ends' if count == 1 else 'end'}"


def sheet(inventory: Inventory) -> str:
    """Return the models as CSV; times are ISO 8601 in UTC, unknown values are empty.

    What other sources say, where they disagree on the end, stands in the last column as SOURCE:DAY.
    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(map(_without_formula, _values(record).values()) for record in inventory.models)
    return written.getvalue()


def plain_rows(inventory: Inventory) -> str:
    """Return a header and a line for each model; unknown values are hyphens.

    No cell has a space in it, so that awk and sort find the columns.
    """
    rows = [list(_PLAIN)]
    for record in inventory.models:
        values = _values(record)
        rows.append([quoted(_cell(values[name])).replace(" ", "_") or "-" for name in _PLAIN])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def _values(record: ModelRecord) -> dict[str, object]:
    last, end = record.last_inference, record.shutdown
    others = end.others if end is not None else ()
    return {
        "model": record.id,
        "base": record.base,
        "checkpoint_step": record.checkpoint_step,
        "created_at": record.created_at,
        "last_inference_at": last and last.at,
        "last_inference_source": last and last.source.value,
        "ends_on": end and end.day,
        "days_left": record.days_left,
        "date_source": end and end.source.value,
        "date_as_of": end and end.as_of,
        "replacement": record.replacement,
        "replacement_can_be_fine_tuned": record.replacement_can_be_fine_tuned,
        "visible": record.visible,
        "other_dates": " ".join(f"{other.source.value}:{other.day}" for other in others),
    }


COLUMNS = tuple(_values(ModelRecord(id="", base="", visible=True)))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _without_formula(value: object) -> str:
    cell = _cell(value)
    return f"'{cell}" if isinstance(value, str) and cell.startswith(_FORMULA) else cell
