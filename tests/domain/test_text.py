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
def test_one_line_is_printable_and_bounded(text, longest):
    shown = one_line(text, longest)
    assert shown.isprintable()
    assert len(shown) <= longest
    assert shown == one_line(shown, longest)


@given(ANY)
def test_lines_keeps_line_breaks_and_no_other_control_character(text):
    assert text.count("\n") == lines(text).count("\n")
    assert lines(text).replace("\n", "").isprintable()


@given(ANY)
def test_quoted_changes_only_unprintable_text(text):
    assert quoted(text).isprintable()
    assert (text == quoted(text)) == text.isprintable()


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u202eevil", "\ud800", "\x00"])
def test_unprintable_text_is_not_a_valid_line(text):
    assert "naïve 名" == TypeAdapter(Line).validate_python("naïve 名")
    with pytest.raises(ValidationError, match="printable"):
        TypeAdapter(Line).validate_python(text)


@pytest.mark.parametrize(
    "value", ["2027-1-14", "20270114", "2027-W02-4", "2027-02-30", "2027-01-14T00:00", "", None, 20270114]
)
def test_only_iso_calendar_dates_are_days(value):
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
def test_secrets_are_replaced_and_nothing_else(text, shown):
    assert shown == without_secrets(text)


@given(st.text(st.sampled_from("sk-:/@?=&key *ab1 \n"), max_size=60))
def test_hiding_secrets_twice_changes_nothing_more(text):
    shown = without_secrets(text)
    assert len(text.split()) >= len(shown.split())
    assert shown == without_secrets(shown)
