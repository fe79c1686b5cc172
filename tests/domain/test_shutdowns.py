"""When models are shut down, and where that date comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.catalog import Row, published_catalog, rows_of
from finetune_guard.domain.shutdowns import (
    Announced,
    DateSource,
    Shutdown,
    ShutdownDates,
    latest_announced,
    merged_announcements,
)
from tests.support.constants import DAY

SEEN = datetime(2026, 11, 20, 23, tzinfo=timezone.utc)
SEEN_DAY, TABLE_DAY = date(2026, 11, 20), date(2026, 11, 22)
BASE, TUNE = "gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
CHECKPOINT = f"{TUNE}:ckpt-step-16"
OLD, OLD_TUNE = "gpt-3.5-turbo-1106", "ft:gpt-3.5-turbo-1106:acme::AbC123xY"  # its fine-tunes end later
NEW, NEW_TUNE = "gpt-9", "ft:gpt-9:acme::AbC123xY"  # not in the table
PUBLISHED, EARLY, LATE = date(2027, 1, 14), date(2026, 12, 24), date(2027, 3, 1)


def known(**days: date | None) -> ShutdownDates:
    """What is known when the API said so much about models, by the names above."""
    announced = {globals()[name]: Announced(day=day, seen_at=SEEN) for name, day in days.items()}
    return ShutdownDates(published_catalog(), announced)


def without_others(shutdown: Shutdown | None) -> Shutdown | None:
    """An end without what other sources say of it."""
    return shutdown and shutdown.model_copy(update={"others": ()})


@pytest.mark.parametrize(
    ("announced", "model_id", "day", "source"),
    [
        ({}, BASE, PUBLISHED, DateSource.TABLE),
        ({}, "gpt-4o-mini", PUBLISHED, DateSource.TABLE),
        ({}, "gpt-4", date(2026, 10, 23), DateSource.TABLE),
        ({}, OLD, date(2026, 9, 28), DateSource.TABLE),
        ({}, OLD_TUNE, date(2026, 10, 23), DateSource.TABLE),
        ({}, TUNE, PUBLISHED, DateSource.TABLE),
        ({}, CHECKPOINT, PUBLISHED, DateSource.TABLE),
        ({}, f"{BASE}.ft-0a1b2c3d", PUBLISHED, DateSource.TABLE),
        ({"BASE": LATE}, BASE, LATE, DateSource.MODEL),
        ({"BASE": LATE}, TUNE, LATE, DateSource.BASE),
        ({"BASE": LATE}, CHECKPOINT, LATE, DateSource.BASE),
        ({"BASE": PUBLISHED}, TUNE, PUBLISHED, DateSource.BASE),
        ({"BASE": LATE, "TUNE": EARLY}, TUNE, EARLY, DateSource.MODEL),
        ({"BASE": LATE, "TUNE": None}, TUNE, LATE, DateSource.BASE),
        ({"BASE": None, "TUNE": None}, TUNE, PUBLISHED, DateSource.TABLE),
        ({"BASE": None}, BASE, PUBLISHED, DateSource.TABLE),
        ({"NEW": LATE}, NEW, LATE, DateSource.MODEL),
        ({"NEW": LATE}, NEW_TUNE, LATE, DateSource.BASE),
    ],
)
def test_order_of_sources_for_a_shutdown_date(announced, model_id, day, source):
    """A model's own field wins, then its base's, then the table; a null gives no date."""
    as_of = TABLE_DAY if source is DateSource.TABLE else SEEN_DAY
    shutdown = known(**announced).shutdown_of(model_id)
    assert Shutdown(model=model_id, day=day, source=source, as_of=as_of) == without_others(shutdown)
    assert source is not DateSource.TABLE or day == published_catalog().shutdown_of(model_id)
    differs = source is not DateSource.TABLE and day != PUBLISHED and "NEW" not in announced
    assert differs == bool(shutdown.others)


@pytest.mark.parametrize(
    "model_id", [NEW, NEW_TUNE, "gpt", "gpt-4.1-mini-2025", "davinci:ft-acme-2022-12-22-07-26-01", "", "a\nb"]
)
def test_unknown_model_has_no_date_and_is_never_shut_down(model_id):
    """A part of a name does not match."""
    dates = known(BASE=LATE)
    assert dates.shutdown_of(model_id) is dates.catalog.shutdown_of(model_id) is None
    assert dates.shutdown_of_new_fine_tunes(model_id) is None
    assert not dates.is_over(model_id, date.max)


@pytest.mark.parametrize(
    ("base_day", "day", "source"),
    [
        (date(2026, 9, 28), date(2026, 10, 23), DateSource.TABLE),
        (date(2026, 9, 27), date(2026, 10, 23), DateSource.TABLE),
        (date(2026, 9, 29), date(2026, 10, 23), DateSource.TABLE),
        (date(2026, 9, 30), date(2026, 9, 30), DateSource.BASE),
        (LATE, LATE, DateSource.BASE),
    ],
)
def test_fine_tune_keeps_its_own_date_when_the_api_repeats_the_bases(base_day, day, source):
    """A day more or less still counts as repeated."""
    dates = known(OLD=base_day)
    shutdown, of_new_ones = dates.shutdown_of(OLD_TUNE), dates.shutdown_of_new_fine_tunes(OLD)
    assert (day, source) == (shutdown.day, shutdown.source)
    assert shutdown.model_copy(update={"model": OLD}) == of_new_ones


def test_continued_fine_tune_ends_with_its_base():
    dates = known(BASE=LATE, TUNE=EARLY)
    expected = Shutdown(model=BASE, day=LATE, source=DateSource.BASE, as_of=SEEN_DAY)
    assert [expected] * 2 == [
        without_others(dates.shutdown_of_new_fine_tunes(model)) for model in (BASE, TUNE)
    ]


LITELLM = {
    BASE: Row(PUBLISHED - 20 * DAY, "gpt-5"),
    f"ft:{BASE}": Row(PUBLISHED - 10 * DAY, None),
    f"ft:{OLD}": Row(date(2026, 9, 28), None),
    NEW: Row(LATE, "gpt-10"),
    "gpt-4.1-2025-04-14": Row(PUBLISHED + DAY, None),
}
ALIAS = "gpt-4o-mini"


@pytest.mark.parametrize(
    ("announced", "model_id", "day", "source", "others"),
    [
        ({}, BASE, PUBLISHED - 20 * DAY, DateSource.LITELLM, [PUBLISHED]),
        ({}, ALIAS, PUBLISHED - 20 * DAY, DateSource.LITELLM, [PUBLISHED]),
        ({}, TUNE, PUBLISHED - 10 * DAY, DateSource.LITELLM, [PUBLISHED]),
        ({}, "gpt-4.1-2025-04-14", PUBLISHED + DAY, DateSource.LITELLM, []),
        ({}, "gpt-4o-2024-08-06", PUBLISHED, DateSource.TABLE, []),
        ({}, OLD_TUNE, date(2026, 9, 28), DateSource.LITELLM, [date(2026, 10, 23)]),
        ({}, NEW, LATE, DateSource.LITELLM, []),
        ({}, NEW_TUNE, LATE, DateSource.LITELLM, []),
        ({"BASE": LATE}, BASE, LATE, DateSource.MODEL, [PUBLISHED - 20 * DAY, PUBLISHED]),
        ({"BASE": LATE}, TUNE, LATE, DateSource.BASE, [PUBLISHED - 10 * DAY, PUBLISHED]),
        # The API repeats what litellm's table has for the base, which has another for the fine-tunes.
        ({"BASE": PUBLISHED - 19 * DAY}, TUNE, PUBLISHED - 10 * DAY, DateSource.LITELLM, [PUBLISHED]),
    ],
)
def test_sources_that_differ_by_over_a_day_are_reported(announced, model_id, day, source, others):
    """The API comes before litellm's table, and that before ours."""
    shutdown = replace(known(**announced), litellm=LITELLM).shutdown_of(model_id)
    assert (model_id, day, source) == (shutdown.model, shutdown.day, shutdown.source)
    assert others == [other.day for other in shutdown.others]


def test_model_is_shut_down_only_if_both_tables_or_the_api_say_so():
    dates = replace(known(), litellm=LITELLM)
    assert not dates.is_over(BASE, PUBLISHED - 18 * DAY)
    assert not dates.is_over(BASE, PUBLISHED + DAY)
    assert dates.is_over(BASE, PUBLISHED + 2 * DAY)
    assert dates.with_announced(known(BASE=EARLY).announced).is_over(BASE, EARLY + 2 * DAY)
    assert not dates.is_over(NEW_TUNE, LATE + 9 * DAY)  # which litellm's table alone knows
    assert not dates.is_only_in_litellm(dates.shutdown_of("gpt-8"))


@pytest.mark.parametrize(
    ("configured", "days"),
    [
        ({BASE: LATE}, [LATE, LATE, LATE]),
        ({ALIAS: LATE}, [LATE, LATE, LATE]),
        ({BASE: None}, [None, None, None]),
        ({TUNE: LATE}, [EARLY, LATE, EARLY]),
        ({TUNE: None, BASE: LATE}, [LATE, None, LATE]),
    ],
)
def test_users_date_overrides_every_source(configured, days):
    """It holds for the model, for a base's fine-tunes and for its alias; ``None`` means no shutdown."""
    dates = replace(known(BASE=EARLY, TUNE=EARLY), configured=configured)
    shutdowns = [dates.shutdown_of(BASE), dates.shutdown_of(TUNE), dates.shutdown_of_new_fine_tunes(TUNE)]
    assert days == [end and end.day for end in shutdowns]
    assert [] == [end for end in shutdowns if end and end.source is DateSource.CONFIG and end.others]
    assert days[0] == (end.day if (end := dates.shutdown_of(ALIAS)) else None)


@pytest.mark.parametrize(
    ("days", "over", "may_be_over"),
    [(-2, True, True), (-1, False, True), (0, False, True), (1, False, True), (2, False, False)],
)
def test_shutdown_day_has_a_tolerance_of_one_day(days, over, may_be_over):
    """A model is shut down once the day after has passed, and may be from the day before on."""
    dates, today = known(), PUBLISHED - timedelta(days=days)
    shutdown = dates.shutdown_of(TUNE)
    assert (days, may_be_over) == (shutdown.days_left(today), shutdown.may_be_over(today))
    assert over == shutdown.is_over(today) == dates.is_over(TUNE, today)


def test_replacement_comes_from_our_table_then_litellms():
    """Only our table says whether a replacement can be fine-tuned."""
    dates = replace(known(), litellm=LITELLM)
    assert "gpt-6-luna" == dates.replacement_of(BASE) == dates.replacement_of(CHECKPOINT)
    assert ("gpt-6-luna", False) == dates.successor_of(BASE)
    assert [("gpt-10", None), (None, None)] == [
        known_dates.successor_of(NEW_TUNE) for known_dates in (dates, known())
    ]
    assert [True, True, False, None] == [
        dates.can_be_fine_tuned(model) for model in (BASE, ALIAS, "gpt-6-luna", "gpt-9")
    ]


def test_bases_with_a_shutdown_still_to_come_are_listed():
    assert BASE in known().tunable_bases(TABLE_DAY)
    assert BASE not in known(BASE=TABLE_DAY).tunable_bases(TABLE_DAY)
    assert "gpt-4-0613" not in known().tunable_bases(TABLE_DAY)
    assert () == known().tunable_bases(PUBLISHED)


def test_later_api_answer_replaces_an_earlier_one():
    """A later null removes the date."""
    later = {BASE: Announced(day=None, seen_at=SEEN + timedelta(seconds=1))}
    dates = known(BASE=LATE).with_announced(later)
    assert later == dates.announced
    assert DateSource.TABLE is dates.shutdown_of(BASE).source


words = st.dictionaries(
    st.sampled_from([BASE, TUNE, NEW]),
    st.builds(
        Announced,
        day=st.sampled_from([None, EARLY, PUBLISHED, LATE]),
        seen_at=st.sampled_from([SEEN, SEEN + DAY]),
    ),
)


@given(words, words, words)
def test_announcements_merge_in_any_order(one, two, three):
    merged = merged_announcements(one, two)
    assert merged == merged_announcements(two, one)
    assert merged == merged_announcements(merged, one)
    assert merged_announcements(merged, three) == merged_announcements(one, merged_announcements(two, three))
    assert {*one, *two} == {*merged}
    assert all(merged[name].seen_at >= announced.seen_at for name, announced in one.items())


def test_of_simultaneous_announcements_the_earlier_date_counts():
    none, early, last = (Announced(day=day, seen_at=SEEN) for day in (None, EARLY, date.max))
    assert early == latest_announced(early, last) == latest_announced(last, early)
    assert (
        last == latest_announced(none, last) == latest_announced(last, none) == latest_announced(None, last)
    )


def test_litellm_rows_of_other_providers_or_malformed_are_skipped():
    good = {"litellm_provider": "openai", "deprecation_date": "2027-01-14", "successor_model": "gpt-6-luna"}
    table = {
        BASE: good,
        f"ft:{BASE}": {**good, "successor_model": 5},
        "babbage-002": {**good, "litellm_provider": "text-completion-openai", "successor_model": None},
        "azure/gpt-4o": {**good, "litellm_provider": "azure"},
        "sample_spec": {**good, "deprecation_date": "date when the model becomes deprecated"},
        "a": {**good, "deprecation_date": "2027-02-30"},
        "b": {**good, "deprecation_date": None},
        "c\n": good,
        "": good,
        5: good,
        "d": "text",
    }
    expected = {BASE: Row(PUBLISHED, "gpt-6-luna")}
    expected |= dict.fromkeys((f"ft:{BASE}", "babbage-002"), Row(PUBLISHED, None))
    assert expected == rows_of(table)
    assert {} == rows_of([]) == rows_of(None)
