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
def test_a_planted_row_is_a_fact_or_an_error(kind, data):
    """Whatever JSON stands in a row, it is read within bounds or refused, and a decision can be made."""
    PROMISES[kind]("1:" + text_of(data.draw(ROWS[kind])))


@KINDS
@pytest.mark.parametrize(
    "value", [None, b"1:{}", "", "1:", "2:{}", "1:" + deep(), "1:" + "9" * 5_000, "1:NaN", "\ud800"]
)
def test_what_is_no_row_is_an_error(kind, value):
    """Values of other types, other forms, too deep or too large are said to be unreadable."""
    PROMISES[kind](value)


@KINDS
@given(TEXTS)
def test_any_text_is_a_row_or_an_error(kind, text):
    """Text that is no JSON is not believed."""
    PROMISES[kind](text)
    PROMISES[kind]("1:" + text)


@given(st.binary(max_size=200) | st.just(b"x" * ((1 << 24) + 1)))
def test_any_bytes_on_a_server_are_text_or_an_error(value):
    """What a server keeps under our keys need not be text, nor of any bearable length."""
    raw_value(value)


@given(TEXTS | st.just(deep()) | st.lists(TEXTS, min_size=1, max_size=3).map(text_of))
def test_a_planted_key_names_nothing_that_forges_a_line(text):
    """Names are taken from keys, too: one that can't be printed is no name."""
    row_key(text)


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("field", ["model", "message"])
def test_no_forged_line_gets_out_of_a_summary(forgery, field):
    """A line break or an escape in a planted summary never reaches an error, a log or a terminal."""
    last = {"organization": "acme", "model": "ft:gpt-4o:acme::1", "at": "2026-11-01T00:00:00Z"}
    refusal = {"at": "2026-11-02T00:00:00Z", "code": "training_not_available", "message": ""}
    (last if field == "model" else refusal)[field] = f"a{forgery}b"
    PROMISES["summary"]("1:" + text_of({"organization": "acme", "last_inference": last, "refusal": refusal}))
