"""Rows that someone else wrote: read as what they are, or not at all, and never shown as they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.hostile_values import FORGERIES, ROWS, TEXTS, deep, text_of
from tests.hostile.promises_of_stores import ROWS as PROMISES
from tests.hostile.promises_of_stores import raw_value, row_key

KINDS = pytest.mark.parametrize("kind", ROWS)


@KINDS
@given(st.data())
def test_any_row_is_a_fact_or_an_error(kind, data):
    PROMISES[kind]("1:" + text_of(data.draw(ROWS[kind])))


@KINDS
@pytest.mark.parametrize(
    "value", [None, b"1:{}", "", "1:", "2:{}", "1:" + deep(), "1:" + "9" * 5_000, "1:NaN", "\ud800"]
)
def test_invalid_row_is_an_error(kind, value):
    PROMISES[kind](value)


@KINDS
@given(TEXTS)
def test_any_text_is_a_row_or_an_error(kind, text):
    PROMISES[kind](text)
    PROMISES[kind]("1:" + text)


@given(st.binary(max_size=200) | st.just(b"x" * ((1 << 24) + 1)))
def test_any_redis_value_is_text_or_an_error(value):
    raw_value(value)


@given(TEXTS | st.just(deep()) | st.lists(TEXTS, min_size=1, max_size=3).map(text_of))
def test_planted_key_names_nothing_unprintable(text):
    row_key(text)


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("field", ["model", "message"])
def test_planted_summary_forges_no_line(forgery, field):
    last = {"organization": "acme", "model": "ft:gpt-4o:acme::1", "at": "2026-11-01T00:00:00Z"}
    refusal = {"at": "2026-11-02T00:00:00Z", "code": "training_not_available", "message": ""}
    (last if field == "model" else refusal)[field] = f"a{forgery}b"
    PROMISES["summary"]("1:" + text_of({"organization": "acme", "last_inference": last, "refusal": refusal}))
