"""Properties that hold for every environment."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from unittest import mock

from pydantic import TypeAdapter, ValidationError

from finetune_guard import GuardConfig, GuardConfigError, StoreError
from finetune_guard.client.urls import api_url
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.hosts import is_pattern, matches, normalized
from finetune_guard.domain.validation import Duration
from finetune_guard.openai_api.requests import classify, guarded_call
from finetune_guard.rules.eligibility import decide
from finetune_guard.rules.messages import describe_rule
from finetune_guard.stores.open import open_store
from finetune_guard.stores.redis.url import read_url
from tests.hostile.promises_of_stores import is_clean, read
from tests.support.http import HTTP

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
DURATION = TypeAdapter(Duration)


def duration(text):
    """A duration is longer than zero, and the same once more; anything else is a plain error."""
    try:
        result = DURATION.validate_python(text)
    except ValidationError:
        return
    assert timedelta(0) < result
    assert result == DURATION.validate_python(result)


def host(text):
    """A host is one that can be printed; whatever is asked, asking never fails."""
    assert isinstance(matches(text, "api.openai.com", 443), bool)
    assert isinstance(matches("*.openai.com", text, None), bool)
    if is_pattern(text):
        assert is_clean(text)
        name = normalized(text.strip().partition(":")[0])
        assert not matches(text, "another.example", 443) or name.startswith(("*.", "another.example"))


def environment(variables):
    """The variables, by field, make a configuration or an error of ours, and neither forges a line."""
    settable = {f"FINETUNE_GUARD_{name.upper()}": value for name, value in variables.items()}
    settable = {name: value for name, value in settable.items() if _is_settable(name) and _is_settable(value)}
    with mock.patch.dict(os.environ, settable):
        try:
            config = GuardConfig()
        except GuardConfigError as error:
            message = str(error)
            assert all(map(is_clean, message.split("\n")))
            assert len(message.split("\n")) <= 4 * (1 + len(settable))
            return
    assert repr(config).isprintable()
    for year in (2025, 2026, 2027, 2028):
        eligibility = decide(config.policy, Evidence(organization="acme"), NOW.replace(year=year))
        assert is_clean(describe_rule(eligibility, config.policy))
    for pattern in (*config.hosts, *config.policy.hosts):
        host(pattern)
    assert config.open_store() is config.open_store()


def _is_settable(text):
    """Whether the operating system has room for it: text without a NUL, and not half a character."""
    try:
        return "\0" not in text and bool(os.fsencode(text) or True)
    except UnicodeEncodeError:
        return False


def store_location(text):
    """A store's location is opened without touching anything, or refused; it is told in one line."""
    try:
        store = open_store(text)
    except StoreError as error:
        message = str(error)
        assert is_clean(message)
        return
    assert store is not None


def redis_url(text):
    """A server's URL is one or is refused; what is shown has neither password nor control characters."""
    url = read(lambda: read_url(text), StoreError)
    if url is None:
        return
    assert url.location.isprintable()
    assert 0 <= url.port <= 65_535
    assert 0 < url.timeout <= 60
    assert repr(url) == repr(replace(url, username=None, password=None, tls=None))
    again = read_url(url.location)
    shown = replace(url, username=None, password=None, host=url.host.lower())
    assert shown == replace(again, host=again.host.lower())


def request_url(text):
    """A request is told by its path whatever its URL; it goes where the HTTP library sends it."""
    for method in ("get", "post"):
        options = SimpleNamespace(
            method=method, url=text, json_data={"model": "ft:gpt-4o:acme::1"}, extra_json=None
        )
        assert classify(options) == classify(options)
        assert guarded_call(options) is None or method == "post"
    try:
        sent_to = HTTP.URL(text)
    except Exception:  # noqa: BLE001 -- it is never sent, then
        return
    if not sent_to.is_absolute_url or not text.startswith(("http://", "https://")):
        return
    client = SimpleNamespace(base_url=HTTP.URL("https://api.openai.com/v1/"))
    url = api_url(client, text)
    guarded = matches("api.openai.com", sent_to.host, sent_to.port)
    assert guarded == matches("api.openai.com", url.host, url.port)


TEXTS = {
    "duration": duration,
    "host": host,
    "store": store_location,
    "redis_url": redis_url,
    "request_url": request_url,
}
"""For each kind of text, what holds for it."""
