"""Nonsense in the environment: an error that names it, on lines of our own, and nothing worse."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from finetune_guard import GuardConfig, GuardConfigError, StoreError
from finetune_guard.stores.redis.store import RedisStore
from tests.hostile.hostile_values import FORGERIES, JSON, TEXTS, deep, objects, text_of
from tests.hostile.promises_of_settings import TEXTS as PROMISES
from tests.hostile.promises_of_settings import environment

PIECES = {
    "duration": ["14d", "1e400d", "P1D", "PT", "P99999999999D", "-1d", "0s", "٣d", "P1Y", "nan"],
    "host": ["api.openai.com", "*.openai.com:443", "[::1]", ":²", "*.", "a:99999", "xn--a", "."],
    "store": ["memory", "disk", "redis://", "~root", "~", "/", "./x", "ftp://u:p@h", "unix:///", "C:\\"],
    "redis_url": [
        *("redis://", "unix:///run/x", "u:p@", "[::1]", ":6379", "/0", "?db=1", "%0a", "%1b[31m", "%ff"),
    ],
    "request_url": [
        *("https://api.openai.com/v1/", "https://", "api.openai.com", "[", "@evil.example", ":99999", ":x"),
        *("\\", "/chat/completions", "fine_tuning/jobs", "?a=b", "#", "\t"),
    ],
}
DURATIONS = st.sampled_from([*PIECES["duration"], "P365000D"])
POLICIES = objects(
    name=TEXTS,
    source=TEXTS,
    hosts=st.lists(st.sampled_from(PIECES["host"]) | TEXTS, max_size=2),
    phases=st.lists(
        objects(
            starts_on=st.sampled_from(["2026-05-07", "0001-01-01", "9999-12-31", None]),
            requirement=st.sampled_from(["none", "recent_inference", "closed"]),
            window=DURATIONS,
            rule=TEXTS,
        ),
        max_size=3,
    ),
)
VARIABLES = {
    "policy": (POLICIES | JSON).map(text_of) | st.just(deep()),
    "keep_alive": st.sampled_from(["on", "off", "14d", deep()])
    | objects(renew_within=DURATIONS, model=TEXTS, deadline=DURATIONS).map(text_of),
    "hosts": st.lists(st.sampled_from(PIECES["host"]) | TEXTS, max_size=3).map(",".join),
    "on_unknown": st.sampled_from(["raise", "allow"]),
    "store": st.sampled_from(PIECES["store"]) | st.sampled_from(PIECES["redis_url"]),
    "warn_below_lifetime": DURATIONS,
    "min_model_lifetime": DURATIONS,
    "admin_api_key": TEXTS,
    "enabled": st.sampled_from(["true", "off", "2"]),
    "clock": st.sampled_from(["no.such:thing", "os", "json:loads", ":", "a:b:c", "sys.modules"]),
}
ANYTHING = TEXTS | st.just("9" * 5_000) | st.just("x" * 100_000)


@pytest.mark.parametrize("kind", PROMISES)
@given(st.data())
def test_any_setting_text_is_parsed_or_refused(kind, data):
    pieces = st.sampled_from(PIECES[kind])
    PROMISES[kind](data.draw(st.lists(pieces | TEXTS, max_size=5).map("".join)))


@given(st.fixed_dictionaries({}, optional={name: usual | ANYTHING for name, usual in VARIABLES.items()}))
@example({"policy": deep()})
@example({"policy": "9" * 5_000})
@example({"policy": '{"a\\n\\u001b[31mb": 1}'})
@example({"clock": "no\n\x1b[31mERROR: forged"})
@example({"hosts": "a:" + "9" * 5_000})
@example({"store": "redis://a%0aERROR%1b[31m"})
def test_any_environment_is_a_configuration_or_an_error(variables):
    environment(variables)


@pytest.mark.parametrize("forgery", FORGERIES[:6])
def test_forged_setting_name_is_shown_as_text(forgery, monkeypatch):
    monkeypatch.setenv("FINETUNE_GUARD_KEEP_ALIVE", text_of({f"a{forgery}b": 1}))
    with pytest.raises(GuardConfigError, match="does not exist") as caught:
        GuardConfig()
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


@pytest.mark.parametrize("url", ["https://a[a/v1/", "https://a:99999/v1/", "https://[::1/v1/"])
def test_invalid_url_has_no_host(url):
    """Some HTTP libraries can read such a URL."""
    PROMISES["request_url"](url)


@pytest.mark.parametrize(
    "url",
    ["unix", "redis", "unix:x", "redis:", "redis://a%40b", "redis://a%2561", "unix://a@///", "unix:///.."],
)
def test_scheme_alone_is_no_store_url(url):
    PROMISES["redis_url"](url)
    with pytest.raises(StoreError):
        RedisStore(url)
