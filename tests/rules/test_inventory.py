"""Every fine-tuned model that a key can see or a history remembers, and what ``print`` shows of it."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import History
from finetune_guard.domain.shutdowns import Announced, DateSource, Shutdown, ShutdownDates, StatedEnd
from finetune_guard.openai_api.listing import Listing
from finetune_guard.rules.inventory import Inventory, ModelRecord, build_inventory
from tests.openai_api.flow_scripts import NOW, error
from tests.support.constants import BASE, DAY, FINE_TUNED, utc
from tests.support.facts import decided, known, ran

ONE, TWO, CHECKPOINT = (f"ft:{BASE}:acme::One", f"ft:{BASE}:acme::Two", f"ft:{BASE}:acme::One:ckpt-step-16")
GONE, UNDATED = "ft:gpt-4-0613:acme::Gone", "ft:gpt-9:acme::Undated"
LEGACY = "davinci:ft-acme-2022-12-22-07-26-01"
DATES = ShutdownDates(published_catalog())
NOTHING = History(evidence=known())


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def history_of(*models: str) -> History:
    return History(evidence=known(), models={name: ran(NOW, name) for name in models})


def listing_of(*models: str, **fields: Any) -> Listing:
    return Listing(**{"created": dict.fromkeys(models), **fields})


def test_models_are_sorted_by_shutdown_then_id():
    listing = listing_of(UNDATED, TWO, LEGACY, ONE, CHECKPOINT)
    inventory = build_inventory(listing, history_of(GONE), DATES, NOW)
    assert [GONE, ONE, CHECKPOINT, TWO, LEGACY, UNDATED] == [record.id for record in inventory.models]


def test_record_joins_creation_last_use_shutdown_and_visibility():
    announced = {ONE: Announced(day=date(2026, 12, 24), seen_at=NOW)}
    listing = listing_of(announced=announced, created={ONE: at(1_750_000_000)})
    history = history_of(ONE, GONE)
    shut_down, one = build_inventory(listing, history, DATES, NOW).models
    assert one.shutdown is not None
    assert (ONE, BASE, None, True) == (one.id, one.base, one.checkpoint_step, one.visible)
    assert (at(1_750_000_000), history.models[ONE]) == (one.created_at, one.last_inference)
    assert (date(2026, 12, 24), DateSource.MODEL) == (one.shutdown.day, one.shutdown.source)
    assert 32 == one.days_left
    assert ("gpt-6-luna", False) == (one.replacement, one.replacement_can_be_fine_tuned)
    assert (GONE, None, -30, False) == (
        shut_down.id,
        shut_down.created_at,
        shut_down.days_left,
        shut_down.visible,
    )


def test_checkpoint_is_its_own_record_and_unknown_dates_stay_unknown():
    checkpoint, undated = build_inventory(listing_of(CHECKPOINT, UNDATED), NOTHING, DATES, NOW).models
    assert 16 == checkpoint.checkpoint_step
    assert (None, None, None) == (undated.shutdown, undated.days_left, undated.last_inference)
    assert (None, None) == (undated.replacement, undated.replacement_can_be_fine_tuned)


def test_days_left_do_not_depend_on_the_time_zone():
    late = datetime(2027, 1, 14, 1, tzinfo=timezone(timedelta(hours=5)))
    (record,) = build_inventory(listing_of(ONE), history_of("gpt-9", ""), DATES, late).models
    assert 1 == record.days_left


def test_incomplete_inventory_names_status_and_code():
    listing = listing_of(complete=False, failure=error(403, "missing_scope"))
    inventory = build_inventory(listing, NOTHING, DATES, NOW)
    assert (NOW, False, "403 missing_scope") == (inventory.as_of, inventory.complete, inventory.failure)
    assert inventory == Inventory.model_validate_json(inventory.model_dump_json())
    assert build_inventory(listing_of(), NOTHING, DATES, NOW).failure is None


THEN, LAST = utc(2026, 8, 13, 9), utc(2026, 8, 3, 9)
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
        (decided(THEN), "unknown (no_inference_recorded)"),
        (
            decided(THEN, LAST),
            f"eligible (recent_inference), jobs can be created until {CLOSES}, last inference {INFERENCE}",
        ),
        (
            decided(THEN + 60 * DAY, LAST),
            f"unknown (window_expired), the window closed on {CLOSES}, last inference {INFERENCE}",
        ),
    ],
)
def test_printed_fact_is_a_sentence_and_repr_stays_the_models(fact, shown):
    assert (shown, True) == (str(fact), repr(fact).startswith(type(fact).__name__))
