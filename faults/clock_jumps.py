"""Faults: the guard's clock, set with ``GuardConfig(clock=...)``, jumps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from afterwards import row_during, stored
from stage import Stage

from table import Row

_SLACK_SECONDS = 2.0


def _jump(days: int, what: str) -> Callable[[Stage], Row]:
    def fault(stage: Stage) -> Row:
        off = timedelta(0)

        def clock() -> datetime:
            return datetime.now(timezone.utc) + off

        @contextmanager
        def jumped() -> Iterator[None]:
            nonlocal off
            off = timedelta(days=days)
            yield
            off = timedelta(0)

        config, began = stage.config(clock=clock), time.time()
        row = row_during(stage, jumped, f"the clock jumps by {what} and back", config=config)
        last = stored(config.open_store()).last
        if not began - _SLACK_SECONDS <= last <= time.time() + _SLACK_SECONDS:
            return replace(row, caught_up=False, problem=f"the last inference is {last - time.time()} s off")
        return replace(row, history=f"{row.history}; the last inference is when the server said")

    return fault


FAULTS = {
    "clock-a-day-ahead": _jump(1, "+1 day"),
    "clock-a-day-behind": _jump(-1, "-1 day"),
    "clock-a-year-ahead": _jump(365, "+1 year"),
    "clock-a-year-behind": _jump(-365, "-1 year"),
}
