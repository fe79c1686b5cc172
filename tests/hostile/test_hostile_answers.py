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
def test_any_date_header_gives_a_plausible_time(text):
    date_header(text)


@given(st.lists(st.sampled_from(NAMES[:-1]) | TEXTS, max_size=2).map("".join) | st.just(NAMES[-1]))
def test_any_organization_header_is_a_name_or_ignored(text):
    organization_header(text)


@given(st.lists(MODELS | st.sampled_from(["ft:", ":", ".ft-", ":ft-", "a"]) | TEXTS, max_size=4).map("".join))
@example("ft:" + "x" * 100_000)
@example("ft:a:b:c:d:ckpt-step-" + "9" * 5_000)
def test_any_model_text_is_a_fine_tune_or_none(text):
    model_id(text)


@given(usage_pages(int(FIRST.timestamp())))
@example({"data": [], "has_more": True, "next_page": "x" * 100_000})
def test_any_usage_page_is_read_or_refused(body):
    usage_page(body)


@given(lists_of(ROWS) | ROWS)
def test_any_record_is_evidence_or_ignored(body):
    check_records(body)


@given(st.lists(lists_of(ROWS), min_size=1, max_size=3))
@example([{"data": [{"id": "\ud800"}], "has_more": True}])
@example([{"data": [{"id": "x" * 100_000}], "has_more": True}])
def test_any_list_ends(bodies):
    lists(bodies)


@given(
    objects(
        error=objects(code=st.sampled_from(["training_not_available", "x" * 99]), message=TEXTS, type=TEXTS),
        code=st.just("model_not_found") | NUMBERS | TEXTS,
        message=TEXTS,
    )
    | JSON
)
def test_any_api_error_is_classified(body):
    api_error(body)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_names_are_ignored(forgery):
    for text in (f"acme{forgery}", f"{forgery}acme", f"org-a{forgery}", f"ft:gpt:acme::1{forgery}"):
        organization_header(text)
        model_id(text)
        api_error({"error": {"code": text, "message": text}})
