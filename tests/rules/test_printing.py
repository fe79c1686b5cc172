"""What ``print`` shows of the facts that programs get."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from finetune_guard.domain.facts import Inference, Source
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.shutdowns import DateSource, Shutdown, StatedEnd
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.inventory import ModelRecord
from tests.support.constants import BASE

MODEL = f"ft:{BASE}:acme::One"
NOW = datetime(2026, 8, 13, 9, tzinfo=timezone.utc)
INFERENCE = Inference(organization="acme", model=MODEL, at=datetime(2026, 8, 3, 9, tzinfo=timezone.utc))
CLOSES = "2026-10-02 09:00 UTC"
RECORD = ModelRecord(id=MODEL, base=BASE, visible=True)
SHUTDOWN = Shutdown(model=MODEL, day=date(2027, 1, 14), source=DateSource.BASE, as_of=date(2026, 8, 3))
DISPUTED = SHUTDOWN.model_copy(
    update={
        "source": DateSource.CONFIG,
        "as_of": None,
        "others": (StatedEnd(day=date(2027, 3, 1), source=DateSource.LITELLM, as_of=None),),
    }
)


def decided(last, now=NOW):
    return decide(OPENAI_SELF_SERVE, Evidence(organization="acme", last_inference=last), now)


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (INFERENCE, f"2026-08-03 09:00 UTC on {MODEL} (observed)"),
        (
            INFERENCE.model_copy(update={"source": Source.USAGE_API}),
            f"2026-08-03 09:00 UTC on {MODEL} (usage_api)",
        ),
        (SHUTDOWN, "2027-01-14, give or take a day (source: base, as of 2026-08-03)"),
        (DISPUTED, "2027-01-14, give or take a day (source: config; litellm: 2027-03-01)"),
        (RECORD, f"{MODEL}: no use known, no end known"),
        (
            RECORD.model_copy(update={"last_inference": INFERENCE, "shutdown": SHUTDOWN}),
            f"{MODEL}: last used 2026-08-03, ends on {SHUTDOWN}",
        ),
        (decided(None), "unknown (no_inference_recorded)"),
        (
            decided(INFERENCE),
            f"eligible (recent_inference), jobs can be created until {CLOSES}, last inference {INFERENCE}",
        ),
        (
            decided(INFERENCE, NOW + timedelta(days=60)),
            f"unknown (window_expired), the window closed on {CLOSES}, last inference {INFERENCE}",
        ),
    ],
)
def test_printing_a_fact_shows_a_sentence(fact, shown):
    """Printed, a fact tells people what it says; its ``repr`` is still that of the model."""
    assert (shown, True) == (str(fact), repr(fact).startswith(type(fact).__name__))
