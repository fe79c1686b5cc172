"""Text from outside is shown without anything that looks like a key or a password."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune_guard.domain.text import Line, day_in, lines, one_line, quoted, without_secrets

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


SECRET = "s3cret-Abcdef0123456789"


NO_SECRETS = [
    "You can find your API key at https://platform.openai.com/account/api-keys.",
    "Project `proj_abc` does not have access to model `gpt-4o-mini-2024-07-18`",
    "ft:gpt-4o-mini-2024-07-18:acme:task-force:AbC123xY",
    "key ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY",
    "scikit-learn, mail to someone@example.com: thanks",
    "finetune-guard[redis] @ https://example.com/finetune_guard.whl",
    "unix:///run/redis/redis.sock",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *((text, text) for text in NO_SECRETS),
        (f"Incorrect API key provided: sk-proj-{SECRET}. See", "Incorrect API key provided: ***. See"),
        ("Incorrect API key provided: sk-proj-************3F4a.", "Incorrect API key provided: ***."),
        (f'"sk-admin-{SECRET}"', '"***"'),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"authorization: bearer {SECRET}", "authorization: bearer ***"),
        ("AIzaSyA0123456789_x", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "***"),
        (f"api-key='{SECRET}'", "api-key='***'"),
        ("the token is 0123456789abcdef0123456789abcdef, and", "the token is ***, and"),
        ("redis://:s3cret@h/0", "redis://***@h/0"),
        ("redis://u:s3@cret@h/0?x=1 and", "redis://***@h/0?x=*** and"),
        ("redis://h?password=s3cret&db=1", "redis://h?password=***&db=***"),
        ("bad://s3cret/@h", "bad://***@h"),
        ("user:s3cret@host:6379/0", "***@host:6379/0"),
    ],
)
def test_keys_and_passwords_are_not_shown(text, shown):
    """Keys of any kind, half masked ones too, and the secret parts of URLs are replaced, and nothing else."""
    assert shown == without_secrets(text)


@given(st.text(st.sampled_from("sk-:/@?=&key *ab1 \n"), max_size=60))
def test_nothing_appears_that_was_not_there(text):
    """Whatever the text, it stays one of the same words, and a second look finds nothing more to hide."""
    shown = without_secrets(text)
    assert len(text.split()) >= len(shown.split())
    assert shown == without_secrets(shown)
