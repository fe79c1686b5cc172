"""What looks like a key or a password is taken out of any text, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.text import without_secrets

SECRET = "s3cret-Abcdef0123456789"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
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
    """Keys of any kind, half masked ones too, and the secret parts of URLs are replaced."""
    assert shown == without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can find your API key at https://platform.openai.com/account/api-keys.",
        "Project `proj_abc` does not have access to model `gpt-4o-mini-2024-07-18`",
        "ft:gpt-4o-mini-2024-07-18:acme:task-force:AbC123xY",
        "key ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY",
        "scikit-learn, mail to someone@example.com: thanks",
        "finetune-guard[redis] @ https://example.com/finetune_guard.whl",
        "unix:///run/redis/redis.sock",
    ],
)
def test_what_is_no_secret_is_shown(text):
    """Model ids, addresses and ordinary words stay as they are."""
    assert text == without_secrets(text)


@given(st.text(st.sampled_from("sk-:/@?=&key *ab1 \n"), max_size=60))
def test_nothing_appears_that_was_not_there(text):
    """Whatever the text, it stays one of the same words, and a second look finds nothing more to hide."""
    shown = without_secrets(text)
    assert len(text.split()) >= len(shown.split())
    assert shown == without_secrets(shown)
