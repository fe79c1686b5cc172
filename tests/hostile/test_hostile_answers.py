"""Answers that no API would give: read as what they are or passed over, and never an error of Python's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.hostile_values import (
    BATCHES,
    FORGERIES,
    JOBS,
    JSON,
    LISTED_MODELS,
    MODELS,
    NUMBERS,
    TEXTS,
    lists_of,
    objects,
    usage_pages,
)
from tests.hostile.promises_of_answers import (
    FIRST,
    api_error,
    date_header,
    lists,
    model_id,
    organization_header,
    usage_page,
)
from tests.hostile.promises_of_answers import records as check_records

DATES = [
    *("Sun, 22 Nov 2026 12:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2099 00:00:00 GMT"),
    *("Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Sat, 01 Jan 10000 00:00:00 GMT"),
    *("Mon, 01 Jan 0001 00:00:00 +1400", "Wed, 31 Dec 2025 23:59:60 GMT", "Tue, 30 Feb 2026 00:00:00 GMT"),
    *("Sun, 22 Nov 2026 12:00:00 +9999", "Sun, 22 Nov 26 12:00:00 GMT", "2026-11-22T12:00:00Z", "1780000000"),
    *("GMT", ",", " , 22 Nov 2026 "),
]
PARTS = st.sampled_from([*DATES, "Sun,", "22", "Nov", "2026", "12:00:00", "GMT", "-0000", "99999", "٢", ":"])
NAMES = ["acme-28gund", "org-AbC123", "proj_AbC123", "key:00", "proof:org-a", "..", "-", "x" * 1_000_000]
ROWS = BATCHES | JOBS | LISTED_MODELS


@given(st.sampled_from(DATES) | TEXTS | st.lists(PARTS, max_size=7).map(" ".join))
@example("9" * 5_000)
def test_any_date_is_a_sane_moment(text):
    """An answer from 1970, 2099 or the year 10000 was given now; one without a day was, too."""
    date_header(text)


@given(st.lists(st.sampled_from(NAMES[:-1]) | TEXTS, max_size=2).map("".join) | st.just(NAMES[-1]))
def test_any_organization_is_a_name_or_nothing(text):
    """A megabyte, a line break or half a character names no organization."""
    organization_header(text)


@given(st.lists(MODELS | st.sampled_from(["ft:", ":", ".ft-", ":ft-", "a"]) | TEXTS, max_size=4).map("".join))
@example("ft:" + "x" * 100_000)
@example("ft:a:b:c:d:ckpt-step-" + "9" * 5_000)
def test_any_model_is_a_fine_tune_or_none(text):
    """Ids of 100 kB, with escapes or with steps beyond all numbers are not those of fine-tuned models."""
    model_id(text)


@given(usage_pages(int(FIRST.timestamp())))
@example({"data": [], "has_more": True, "next_page": "x" * 100_000})
def test_any_page_of_usage_is_read_or_refused(body):
    """What was asked for, in order and within bounds, or an error of ours: nothing in between."""
    usage_page(body)


@given(lists_of(ROWS) | ROWS)
def test_any_record_is_evidence_or_nothing(body):
    """Batches, jobs and models with wrong types or times beyond all calendars are passed over."""
    check_records(body)


@given(st.lists(lists_of(ROWS), min_size=1, max_size=3))
@example([{"data": [{"id": "\ud800"}], "has_more": True}])
@example([{"data": [{"id": "x" * 100_000}], "has_more": True}])
def test_any_list_comes_to_an_end(bodies):
    """However often a list says that it goes on, and whatever it names, looking for models ends."""
    lists(bodies)


@given(
    objects(
        error=objects(code=st.sampled_from(["training_not_available", "x" * 99]), message=TEXTS, type=TEXTS),
        code=st.just("model_not_found") | NUMBERS | TEXTS,
        message=TEXTS,
    )
    | JSON
)
def test_any_error_is_of_a_known_kind(body):
    """Codes of any type, and messages with escapes, neither fail nor forge a line."""
    api_error(body)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forged_name_is_believed(forgery):
    """What would begin a line or move a cursor is part of no name."""
    for text in (f"acme{forgery}", f"{forgery}acme", f"org-a{forgery}", f"ft:gpt:acme::1{forgery}"):
        organization_header(text)
        model_id(text)
        api_error({"error": {"code": text, "message": text}})
