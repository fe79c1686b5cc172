"""How long a fine-tune that would be made now would live, and what is said about models that end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from finetune_guard.domain.catalog import ModelCatalog, published_catalog
from finetune_guard.domain.shutdowns import Announced, ShutdownDates
from finetune_guard.rules.inventory import prospect_of
from finetune_guard.rules.model_messages import (
    base_shut_down,
    fine_tune_shut_down,
    model_sunset,
    old_table,
    short_lived,
    too_short_lived,
)
from tests.support.constants import NOW, utc

TODAY = NOW.date()
DATES = ShutdownDates(published_catalog())
BASE, GONE = "gpt-4.1-2025-04-14", "gpt-3.5-turbo-1106"
TUNE, GONE_TUNE = f"ft:{BASE}:acme::AbC123xY", f"ft:{GONE}:acme::AbC123xY"


def announced(**days: date | None) -> ShutdownDates:
    by_model = {globals()[name]: Announced(day=day, seen_at=NOW) for name, day in days.items()}
    return ShutdownDates(published_catalog(), by_model)


def test_life_of_a_new_fine_tune_ends_at_utc_midnight():
    prospect = prospect_of(BASE, DATES, NOW)
    assert timedelta(days=52, hours=12) == prospect.lifetime
    assert (DATES.shutdown_of(BASE), DATES.shutdown_of_new_fine_tunes(BASE)) == (
        prospect.base_shutdown,
        prospect.fine_tunes_shutdown,
    )
    assert [True, False] == [prospect.lives_for(timedelta(days=days)) for days in (52, 60)]
    by_litellm_alone = replace(prospect, is_certain=False)
    assert [True, None] == [by_litellm_alone.lives_for(timedelta(days=days)) for days in (52, 60)]
    assert ("gpt-6-luna", False) == (prospect.replacement, prospect.replacement_can_be_fine_tuned)
    assert not prospect.is_shut_down(TODAY)


def test_continued_training_is_measured_by_model_and_base():
    prospect = prospect_of(TUNE, announced(TUNE=date(2026, 11, 1), BASE=date(2027, 3, 1)), NOW)
    ends = [(end.day, end.model) for end in (prospect.base_shutdown, prospect.fine_tunes_shutdown)]
    assert [(date(2026, 11, 1), TUNE), (date(2027, 3, 1), BASE)] == ends
    assert prospect.is_shut_down(TODAY)


def test_alias_uses_the_longest_life_of_its_dated_models():
    """The API's date for the alias itself comes first."""
    own = ShutdownDates(published_catalog(), {"gpt-4.1": Announced(day=date(2029, 1, 1), seen_at=NOW)})
    for dates, year in ((announced(BASE=date(2028, 1, 1)), 2028), (own, 2029)):
        prospect = prospect_of("gpt-4.1", dates, NOW)
        assert [date(year, 1, 1)] * 2 == [prospect.base_shutdown.day, prospect.fine_tunes_shutdown.day]


def test_base_is_shut_down_a_day_after_its_date():
    prospect = prospect_of(GONE, DATES, NOW)
    assert [False, False, True] == [prospect.is_shut_down(date(2026, 9, day)) for day in (28, 29, 30)]
    unknown = prospect_of("gpt-9", DATES, NOW)
    assert unknown.lives_for(timedelta(days=1)) is None
    assert (None, None, False) == (unknown.lifetime, unknown.replacement, unknown.is_shut_down(date.max))


TABLE = "according to finetune-guard's table of 2026-11-22"


def test_error_for_a_shut_down_base():
    message = base_shut_down(prospect_of(GONE, DATES, NOW), DATES, TODAY)
    expected = (
        "The fine-tuning job was not created: gpt-3.5-turbo-1106 is shut down and can't be fine-tuned any "
        "more.\n"
        f"Evidence: gpt-3.5-turbo-1106 is shut down on 2026-09-28 ({TABLE}), fine-tunes made from it on "
        f"2026-10-23 ({TABLE}). Published days can be off by one.\n"
        "What to do: Use a base model that is not shut down: gpt-4o-2024-08-06, gpt-4o-2024-11-20, "
        "gpt-4o-mini-2024-07-18, gpt-4.1-2025-04-14, gpt-4.1-mini-2025-04-14. If your organization still has "
        "access, client.with_options(guard=GuardConfig(enabled=False)) lets one call through. The published "
        "replacement is gpt-5.6-terra, which can't be fine-tuned."
    )
    assert expected == message.message
    assert message.message.endswith(f"What to do: {message.remedy}")
    none_left = base_shut_down(prospect_of(BASE, DATES, NOW), DATES, date(2027, 2, 1))
    assert "No other base model is known." in none_left.message


def test_error_for_a_too_short_life_names_the_setting():
    message = too_short_lived(prospect_of(BASE, announced(BASE=date(2027, 1, 15)), NOW), timedelta(90))
    expected = (
        "The fine-tuning job was not created: a fine-tune of gpt-4.1-2025-04-14 made now would live for "
        "about 53 days, less than the 90 days of min_model_lifetime.\n"
        "Evidence: gpt-4.1-2025-04-14 is shut down on 2027-01-15 (according to the API on 2026-11-22), "
        "fine-tunes made from it on 2027-01-15 (according to the API for the base model, on 2026-11-22). "
        "Published days can be off by one.\n"
        "What to do: To create it anyway, lower GuardConfig(min_model_lifetime=...), or for one call use "
        "client.with_options(guard=GuardConfig(enabled=False)). The published replacement is gpt-6-luna, "
        "which can't be fine-tuned."
    )
    assert expected == message.message
    assert message.message.endswith(f"What to do: {message.remedy}")


def test_warning_for_a_short_life_has_two_lines():
    expected = (
        "A fine-tune of gpt-4.1-2025-04-14 made now would live for about 52 days: it is shut down on "
        f"2027-01-14 ({TABLE}).\n"
        "Plan the move to another model before that. The published replacement is gpt-6-luna, which can't be "
        "fine-tuned."
    )
    assert expected == short_lived(prospect_of(BASE, DATES, NOW))


@pytest.mark.parametrize(
    ("model_id", "now", "hours", "expected"),
    [
        (BASE, utc(2027, 1, 12, 12), 36, "about 1 day, less than"),
        (BASE, utc(2027, 1, 13, 12), 36, "less than a day, less than the 36 hours of"),
        (BASE, utc(2027, 2, 1), 1.5, "the 1.5 hours of"),
        ("gpt-9", NOW, 24, "for an unknown time, less than the 1 day of"),
        ("gpt-9", NOW, 24, "gpt-9 is shut down on a day that is not known, fine-tunes"),
    ],
)
def test_durations_are_shown_in_days_or_hours(model_id, now, hours, expected):
    assert expected in too_short_lived(prospect_of(model_id, DATES, now), timedelta(hours=hours)).message
    assert "\nPlan the move" in short_lived(prospect_of(model_id, DATES, now))


@pytest.mark.parametrize(
    ("days", "phrase"),
    [
        (53, "will be shut down in 53 days, on"),
        (1, "is shut down tomorrow,"),
        (0, "is shut down today,"),
        (-1, "was to be shut down on"),
    ],
)
def test_warning_before_a_shutdown(days, phrase):
    expected = (
        f"{TUNE} {phrase} 2027-01-14 ({TABLE}).\n"
        "Calls go on until then. Plan the move to another model. The published replacement is gpt-6-luna, "
        "which can't be fine-tuned."
    )
    assert expected == model_sunset(DATES.shutdown_of(TUNE), days, "gpt-6-luna", tunable=False)


def test_error_for_a_shut_down_model_separates_api_and_published_date():
    message = fine_tune_shut_down(DATES.shutdown_of(GONE_TUNE), "gpt-5.6-terra", tunable=False)
    expected = (
        f"{GONE_TUNE} does not answer any more: the API can't find it, and its shutdown day has come.\n"
        f"Evidence: its shutdown day is 2026-10-23 ({TABLE}). Published days can be off by one.\n"
        "What to do: Call another model. The published replacement is gpt-5.6-terra, which can't be "
        "fine-tuned."
    )
    assert expected == message.message
    assert message.message.endswith(f"What to do: {message.remedy}")


def test_replacement_is_named_only_if_published():
    rows = [
        {"id": one, "shutdown": "2027-01-14", "fine_tunes_shutdown": "2027-01-14", "replacement": other}
        for one, other in (("a", "b"), ("b", None))
    ]
    catalog = ModelCatalog.model_validate({"as_of": "2026-11-22", "source": "here", "base_models": rows})
    successors = [*map(ShutdownDates(catalog).successor_of, ("a", "b")), ("gpt-9", None)]
    assert [("b", True), (None, None), ("gpt-9", None)] == successors
    assert [
        "Call another model. The published replacement is b, which can be fine-tuned.",
        "Call another model.",
        "Call another model. The published replacement is gpt-9.",
    ] == [fine_tune_shut_down(DATES.shutdown_of(GONE_TUNE), *successor).remedy for successor in successors]


def test_table_older_than_45_days_says_its_age():
    as_of = DATES.catalog.as_of
    assert old_table(DATES, as_of + timedelta(days=45)) is None
    message = old_table(DATES, as_of + timedelta(days=46))
    assert f"46 days old ({as_of})" in message
    assert "finetune-guard models --refresh" in message
