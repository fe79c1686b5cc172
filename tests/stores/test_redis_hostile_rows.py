"""What happens when somebody else has written to the server under our keys."""

from __future__ import annotations

import pickle

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Span
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.stores.keys import key
from finetune_guard.stores.redis.rows import MAX_ROWS
from tests.stores.store_workers import Bomb
from tests.support.constants import HOUR, NOW

MODEL = "ft:gpt-4o-mini:acme::1"

ROWS = {
    key("schema"): lambda store, activity: store.evidence("acme"),
    key("evidence", "acme"): lambda store, activity: store.evidence("acme"),
    key("model", "acme", MODEL): lambda store, activity: store.record("acme", [activity()]),
    key("day", "acme", NOW.date().isoformat()): lambda store, activity: store.record("acme", [activity()]),
    key("alias", "key:1"): lambda store, activity: store.organization_of("key:1"),
    key("shutdown", MODEL): lambda store, activity: store.announced(),
    key("salt"): lambda store, activity: store.salt(create=True),
    key("index", "evidence"): lambda store, activity: store.organizations(),
    key("index", "alias"): lambda store, activity: store.aliases(),
    key("index", "shutdown"): lambda store, activity: store.announced(),
    key("index", "model", "acme"): lambda store, activity: store.history("acme"),
    key("index", "day", "acme"): lambda store, activity: store.link("acme", "umbrella"),
}


@pytest.fixture
def filled(redis_store, activity):
    redis_store.record("acme", [activity()])
    redis_store.link("key:1", "acme")
    redis_store.announce({MODEL: Announced(day=NOW.date(), seen_at=NOW)})
    redis_store.salt(create=True)
    return redis_store


def everything(server, prefix):
    keys = sorted(server.scan_iter(match=f"{prefix}*"))
    return {name: server.dump(name) for name in keys}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe",
        b"2:{}",
        b"1:[1,2]",
        b'1:{"organization":"umbrella"}',
        pickle.dumps(Bomb()),
        b"x" * ((1 << 24) + 1),
    ],
    ids=["no-text", "newer", "list", "other", "pickle", "huge"],
)
def test_invalid_value_is_an_error_and_not_overwritten(filled, server, prefix, activity, row, value):
    server.set(prefix + row, value)
    before = everything(server, prefix)

    with pytest.raises(StoreError) as caught:
        ROWS[row](filled, activity)
    assert caught.value.remedy in str(caught.value)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()
    assert before == everything(server, prefix)


@pytest.mark.parametrize("row", ROWS)
def test_value_of_another_redis_type_is_an_error(filled, server, prefix, activity, row):
    server.delete(prefix + row)
    server.rpush(prefix + row, "x")
    before = everything(server, prefix)

    with pytest.raises(StoreError, match="another name") as caught:
        ROWS[row](filled, activity)
    assert caught.value.__cause__ is not None
    assert before == everything(server, prefix)


def test_later_schema_is_neither_read_nor_changed(filled, server, prefix, activity):
    server.set(prefix + key("schema"), "2")
    before = everything(server, prefix)

    for call in (
        lambda: filled.evidence("acme"),
        lambda: filled.history("acme"),
        lambda: filled.record("acme", [activity()]),
        lambda: filled.link("key:2", "acme"),
        lambda: filled.salt(create=True),
        lambda: filled.lease("keep-alive", HOUR),
    ):
        with pytest.raises(StoreError, match="Upgrade finetune-guard") as caught:
            call()
        assert filled.location in str(caught.value)
    assert before == everything(server, prefix)


def test_evicted_row_leaves_the_rest_usable(filled, server, prefix, activity):
    server.delete(prefix + key("model", "acme", MODEL))
    assert {} == filled.history("acme").models
    server.delete(prefix + key("evidence", "acme"))
    assert Evidence(organization="acme") == filled.evidence("acme")

    filled.record("acme", [activity()])
    assert [MODEL] == list(filled.history("acme").models)
    assert ("acme",) == filled.organizations()


def test_lease_without_expiry_is_an_error(filled, server, prefix):
    server.set(prefix + key("lease", "keep-alive"), "x")

    with pytest.raises(StoreError, match="without an end"):
        filled.lease("keep-alive", HOUR)


def test_planted_lease_holds_until_it_expires(filled, server, prefix):
    server.set(prefix + key("lease", "keep-alive"), b"\x80\x04.", px=200)

    assert filled.lease("keep-alive", HOUR) is None
    while filled.lease("keep-alive", HOUR) is None:
        pass


def test_list_of_a_million_names_is_an_error(filled, server, prefix):
    names = ",".join(f'"{number}"' for number in range(MAX_ROWS + 1))
    server.set(prefix + key("index", "model", "acme"), f"1:[{names}]")

    with pytest.raises(StoreError, match="not what was written"):
        filled.history("acme")


def test_summary_too_large_to_read_is_not_written(redis_store):
    spans = [Span(start=NOW + step * HOUR, end=NOW + (step + 0.5) * HOUR) for step in range(20_000)]
    with pytest.raises(StoreError, match="too long"):
        redis_store.merge(History(evidence=Evidence(organization="acme", usage_read=tuple(spans))))
    assert () == redis_store.organizations()
