"""What the URL of a server may say, and what is never shown of it."""

from __future__ import annotations

import pytest

from finetune_guard.config import GuardConfig
from finetune_guard.domain.errors import GuardConfigError, StoreError
from finetune_guard.stores.redis.store import RedisStore
from finetune_guard.stores.redis.url import read_url


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://h", "redis://h:6379/0"),
        ("redis://h:7000/3", "redis://h:7000/3"),
        ("redis://h?db=3", "redis://h:6379/3"),
        ("redis://H.Example", "redis://h.example:6379/0"),
        ("redis://[::1]:7000", "redis://[::1]:7000/0"),
        ("redis://:s%2Fe%40cret@h", "redis://h:6379/0"),
        ("redis://secret@h", "redis://h:6379/0"),
        ("redis://:s@cret@h", "redis://h:6379/0"),
        ("redis://h?prefix=team%20a&timeout=0.5", "redis://h:6379/0?prefix=team%20a"),
        ("valkey://h/1", "redis://h:6379/1"),
        ("rediss://h", "rediss://h:6379/0"),
        ("valkeys://h?ssl_keyfile=/secret", "rediss://h:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix://u:secret@/run/a%20b?db=2&prefix=x", "unix:///run/a%20b?db=2&prefix=x"),
        ("unix:///run//x/../redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_location_shows_the_server_without_secrets(url, location):
    store = RedisStore(url)

    assert location == store.location
    assert "cret" not in repr(store) + repr(read_url(url)) + repr(store.identity)


def test_url_is_parsed_with_credentials_and_options():
    url = read_url(
        "valkeys://u%3A:p%40%2F@h:1/2?prefix=x&timeout=0.5&ssl_ca_certs=/ca&ssl_check_hostname=false"
    )

    assert ("u:", "p@/", "h", 1, 2) == (url.username, url.password, url.host, url.port, url.db)
    assert ("x", 0.5) == (url.prefix, url.timeout)
    assert {"ssl_cert_reqs": "required", "ssl_check_hostname": False, "ssl_ca_certs": "/ca"} == url.tls


def test_tls_is_verified_by_default():
    assert {"ssl_cert_reqs": "required", "ssl_check_hostname": True} == read_url("rediss://h").tls
    unchecked = read_url("rediss://h?ssl_cert_reqs=none").tls
    assert {"ssl_cert_reqs": "none", "ssl_check_hostname": False} == unchecked


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://h", "valkey://H:6379/0?timeout=9"),
        ("redis://u:p%40q@h", "rediss://u:p%40q@h"),
        ("redis://h/3", "redis://h?db=3"),
        ("redis://h", "redis://h?prefix=finetune-guard"),
        ("unix://:p@/run/x", "unix://:p@/run/../run/x"),
    ],
)
def test_urls_of_the_same_database_are_equal(one, other):
    assert RedisStore(one).identity == RedisStore(other).identity


def test_urls_of_different_databases_differ():
    urls = ["redis://h", "redis://i", "redis://h:1", "redis://h/1", "redis://h?prefix=x", "unix:///h"]
    urls += ["redis://u:p@h", "redis://u:q@h", "redis://v:p@h", "redis://:p@h", "unix://:p@/h"]
    assert len(urls) == len({RedisStore(url).identity for url in urls})


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://:secret@h:x", "host or port"),
        ("redis://:sec/secret@h", "host or port"),
        ("redis://:secret@[::1", "host or port"),
        ("redis://:sec#secret@h", "percent-encoded"),
        ("redis://:sec secret@h", "percent-encoded"),
        ("redis://:secret@h/x", "number of the database"),
        ("redis://:secret@h/999999999999", "number of the database"),
        ("redis://:secret@h/1?db=2", "twice"),
        ("redis://:secret@h?prefix=", "prefix"),
        ("redis://:secret@h?prefix=a%0Ab", "prefix"),
        ("redis://:secret@h?prefix=" + "x" * 65, "prefix"),
        ("redis://:secret@h?prefix=a&prefix=b", "twice"),
        ("redis://:secret@h?timeout=0", "timeout"),
        ("redis://:secret@h?timeout=nan", "timeout"),
        ("redis://:secret@h?timeout=soon", "timeout"),
        ("redis://:secret@h?secret=1", "allowed: db, prefix, timeout"),
        ("redis://h?password=secret", "before the @"),
        ("redis://h?ssl_ca_certs=/secret", "rediss://"),
        ("rediss://h?ssl_cert_reqs=secret", "required or none"),
        ("rediss://h?ssl_check_hostname=secret", "true or false"),
        ("rediss://h?ssl_ca_certs=", "a file"),
        ("unix://secret/x", "three slashes"),
        ("unix:///", "three slashes"),
        ("http://:secret@h", "not the URL"),
        ("secret", "not the URL"),
    ],
)
def test_wrong_url_is_refused_without_showing_it(url, problem):
    with pytest.raises(StoreError, match=problem) as caught:
        RedisStore(url)
    assert "secret" not in str(caught.value)
    assert "redis://[user:password@]host" in str(caught.value)
    assert caught.value.__cause__ is None


def test_wrong_url_in_the_configuration_names_field_or_variable(monkeypatch):
    with pytest.raises(GuardConfigError, match="allowed: db, prefix, timeout"):
        GuardConfig(store="redis://:secret@h?retries=3")
    monkeypatch.setenv("FINETUNE_GUARD_STORE", "redis://:secret@h/x")
    with pytest.raises(GuardConfigError, match="FINETUNE_GUARD_STORE") as caught:
        GuardConfig()
    assert "secret" not in str(caught.value)
