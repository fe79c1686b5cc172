"""The models as CSV. The names of the columns are part of the interface and do not change. No I/O."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime

from finetune_guard.rules.inventory import Inventory, ModelRecord

COLUMNS = (
    "model",
    "base",
    "checkpoint_step",
    "created_at",
    "last_inference_at",
    "last_inference_source",
    "ends_on",
    "days_left",
    "date_source",
    "date_as_of",
    "replacement",
    "replacement_can_be_fine_tuned",
    "visible",
    "other_dates",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def sheet(inventory: Inventory) -> str:
    """Return the models as CSV; times are ISO 8601 in UTC, and what is not known is empty.

    What other sources say, where they disagree on the end, stands in the last column as SOURCE:DAY.
    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows([_cell(value) for value in _values(record)] for record in inventory.models)
    return written.getvalue()


def _values(record: ModelRecord) -> tuple[object, ...]:
    last, shutdown = record.last_inference, record.shutdown
    return (
        record.id,
        record.base,
        record.checkpoint_step,
        record.created_at,
        last.at if last is not None else None,
        last.source.value if last is not None else None,
        shutdown.day if shutdown is not None else None,
        record.days_left,
        shutdown.source.value if shutdown is not None else None,
        shutdown.as_of if shutdown is not None else None,
        record.replacement,
        record.replacement_can_be_fine_tuned,
        record.visible,
        " ".join(f"{other.source.value}:{other.day}" for other in shutdown.others) if shutdown else None,
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, (date, int)):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
