"""What ``print`` shows of the facts that programs get."""

from __future__ import annotations

from datetime import date

import pytest

from finetune_guard.domain.facts import Source
from finetune_guard.domain.shutdowns import DateSource, Shutdown, StatedEnd
from finetune_guard.rules.inventory import ModelRecord
from tests.support.constants import BASE, DAY, FINE_TUNED, utc
from tests.support.facts import decided, ran

NOW, LAST = utc(2026, 8, 13, 9), utc(2026, 8, 3, 9)
INFERENCE = ran(LAST)
CLOSES = "2026-10-02 09:00 UTC"
RECORD = ModelRecord(id=FINE_TUNED, base=BASE, visible=True)
SHUTDOWN = Shutdown(model=FINE_TUNED, day=date(2027, 1, 14), source=DateSource.BASE, as_of=date(2026, 8, 3))
OTHER = StatedEnd(day=date(2027, 3, 1), source=DateSource.LITELLM)
DISPUTED = SHUTDOWN.model_copy(update={"source": DateSource.CONFIG, "as_of": None, "others": (OTHER,)})


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (INFERENCE, f"2026-08-03 09:00 UTC on {FINE_TUNED} (observed)"),
        (ran(LAST, source=Source.USAGE_API), f"2026-08-03 09:00 UTC on {FINE_TUNED} (usage_api)"),
        (SHUTDOWN, "2027-01-14, give or take a day (source: base, as of 2026-08-03)"),
        (DISPUTED, "2027-01-14, give or take a day (source: config; litellm: 2027-03-01)"),
        (RECORD, f"{FINE_TUNED}: no use known, no end known"),
        (
            RECORD.model_copy(update={"last_inference": INFERENCE, "shutdown": SHUTDOWN}),
            f"{FINE_TUNED}: last used 2026-08-03, ends on {SHUTDOWN}",
        ),
        (decided(NOW), "unknown (no_inference_recorded)"),
        (
            decided(NOW, LAST),
            f"eligible (recent_inference), jobs can be created until {CLOSES}, last inference {INFERENCE}",
        ),
        (
            decided(NOW + 60 * DAY, LAST),
            f"unknown (window_expired), the window closed on {CLOSES}, last inference {INFERENCE}",
        ),
    ],
)
def test_printing_a_fact_shows_a_sentence(fact, shown):
    """Printed, a fact tells people what it says; its ``repr`` is still that of the model."""
    assert (shown, True) == (str(fact), repr(fact).startswith(type(fact).__name__))
