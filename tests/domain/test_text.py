"""Text from outside, as it is shown."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune_guard.domain.text import Line, day_in, lines, one_line, quoted

ANY = st.text(alphabet=st.characters(codec=None, categories=None))


@given(ANY, st.integers(1, 600))
@example("a b", 2)
def test_any_text_becomes_a_printable_line_within_bounds(text, longest):
    """Whatever came from outside is shown on one line, can't move a cursor, and is not endless."""
    shown = one_line(text, longest)
    assert shown.isprintable()
    assert len(shown) <= longest
    assert shown == one_line(shown, longest)


@given(ANY)
def test_several_lines_stay_several_and_nothing_else_gets_through(text):
    """A message of several lines keeps its lines; every other control character is shown as ``?``."""
    assert text.count("\n") == lines(text).count("\n")
    assert lines(text).replace("\n", "").isprintable()


@given(ANY)
def test_what_can_be_printed_is_shown_as_it_is(text):
    """Names in other scripts stay as they are; what can't be printed is told as Python writes it."""
    assert quoted(text).isprintable()
    assert (text == quoted(text)) == text.isprintable()


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u202eevil", "\ud800", "\x00"])
def test_a_line_is_checked_where_it_is_read(text):
    """A line break, an escape, a turn of direction and half a character are not taken for a name."""
    assert "naïve 名" == TypeAdapter(Line).validate_python("naïve 名")
    with pytest.raises(ValidationError, match="printable"):
        TypeAdapter(Line).validate_python(text)


@pytest.mark.parametrize(
    "value", ["2027-1-14", "20270114", "2027-W02-4", "2027-02-30", "2027-01-14T00:00", "", None, 20270114]
)
def test_a_day_is_written_in_one_way(value):
    """Neither other forms of ISO 8601, nor numbers, nor days that don't exist are taken for a day."""
    assert day_in(value) is None
    assert date(2027, 1, 14) == day_in("2027-01-14")
