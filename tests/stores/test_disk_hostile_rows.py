"""What a database that someone tampered with can't do: run code, read, write or delete other files."""

from __future__ import annotations

import pickle

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.keys import key
from tests.stores.store_workers import Bomb, tamper
from tests.support.constants import HOUR

MODEL = "ft:gpt-4o-mini:acme::1"

EVIDENCE = key("evidence", "acme")
MODEL_ROW = key("model", "acme", MODEL)
ALIAS = key("alias", "key:1")
LEASE = key("lease", "keep-alive")

READS = {
    EVIDENCE: lambda store: store.evidence("acme"),
    MODEL_ROW: lambda store: store.history("acme"),
    key("day", "acme", "2026-11-22"): lambda store: store.history("acme"),
    ALIAS: lambda store: store.organization_of("key:1"),
    key("salt"): lambda store: store.salt(create=True),
    LEASE: lambda store: store.lease("keep-alive", HOUR),
    key("schema"): lambda store: store.evidence("acme"),
}


def plant(folder, row, *, raw=1, mode=1, filename=None, value=None):
    tamper(folder, "DELETE FROM Cache WHERE key = ?", row)
    tamper(
        folder,
        "INSERT INTO Cache (key, raw, mode, filename, value, store_time) VALUES (?, ?, ?, ?, ?, 0)",
        *(row, raw, mode, filename, value),
    )


def assert_refused(call, store, says):
    with pytest.raises(StoreError, match=says) as caught:
        call(store)
    assert caught.value.remedy
    assert caught.value.remedy in str(caught.value)
    assert store.location in str(caught.value)


@pytest.mark.parametrize("row", READS)
@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_planted_pickle_value_is_not_loaded(filled, folder, row, mode):
    plant(folder, row, mode=mode, value=pickle.dumps(Bomb()))
    assert_refused(READS[row], filled, "someone else")


@pytest.mark.parametrize("raw", [0, None, 2, "1x"])
def test_planted_pickle_key_is_not_loaded(filled, folder, raw):
    plant(folder, pickle.dumps(Bomb()), raw=raw, value="1:{}")
    plant(folder, pickle.dumps(Bomb(), protocol=0).decode(), raw=raw, value="1:{}")
    plant(folder, '["evidence","a"]', raw=raw, value=pickle.dumps(Bomb()))

    assert_refused(lambda store: store.organizations(), filled, "key that is not plain text")
    filled.history("acme")
    filled.link("acme", "other")


@pytest.mark.parametrize("row", READS)
@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_row_naming_a_file_outside_is_refused_and_the_file_kept(filled, folder, outside_file, row, mode):
    for name in ("../../precious.txt", str(outside_file)):
        plant(folder, row, mode=mode, filename=name, value=None if mode > 1 else '1:"acme"')
        assert_refused(READS[row], filled, "points to a file")
    assert outside_file.exists()


def test_change_that_meets_a_row_naming_a_file_is_refused_as_a_whole(filled, folder, outside_file, activity):
    filled.record("key:2", [activity()])
    filled.close()
    for row in (ALIAS, key("model", "key:2", MODEL), key("day", "key:2", "2026-11-22")):
        tamper(folder, "UPDATE Cache SET filename = ? WHERE key = ?", "../../precious.txt", row)

    for alias in ("key:1", "key:2"):
        assert_refused(lambda store, alias=alias: store.link(alias, "umbrella"), filled, "points to a file")
    assert outside_file.exists()
    assert ("acme", "key:2") == filled.organizations()


def test_planted_expiry_hides_a_row_and_deletes_nothing(filled, folder, outside_file):
    tamper(folder, "UPDATE Cache SET expire_time = 1, filename = ?", "../../precious.txt")

    with pytest.raises(StoreError, match="not one of finetune-guard's"):
        filled.evidence("acme")
    assert outside_file.exists()


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (EVIDENCE, ""),
        (EVIDENCE, '1:{"organization":"umbrella"}'),
        (EVIDENCE, '1:{"organization":"acme","fine_tuned_by":"2026-02-28T00:00:00"}'),
        (EVIDENCE, "1:" + "[" * 100_000),
        (EVIDENCE, 7),
        (MODEL_ROW, '1:{"organization":"acme","model":"other","at":"2026-11-22T00:00:00Z"}'),
        (key("day", "acme", "2026-11-22"), '1:{"observed":-1}'),
        (key("day", "acme", "2026-13-45"), '1:{"observed":1}'),
        (ALIAS, "1:{}"),
        (key("salt"), '1:"not hexadecimal"'),
        (LEASE, '1:{"token":"x"}'),
    ],
    ids=lambda value: f"{value!s:.60}",
)
def test_invalid_row_is_an_error_with_a_remedy(filled, folder, value, row):
    plant(folder, row, value=value)

    assert_refused(READS.get(row, READS[MODEL_ROW]), filled, "Move cache.db out")


@pytest.mark.parametrize("row", ['["evidence",', '["evidence",7]', '["evidence","a"', '["evidence",{"a":1}]'])
def test_invalid_key_ends_the_listing_with_an_error(filled, folder, row):
    plant(folder, row, value="1:{}")

    assert_refused(lambda store: store.organizations(), filled, "Could not list the histories")


def test_invalid_utf8_is_an_error(filled, folder):
    tamper(folder, "UPDATE Cache SET value = CAST(x'ff3a' AS TEXT) WHERE key = ?", EVIDENCE)

    assert_refused(lambda store: store.evidence("acme"), filled, "UTF-8")


@pytest.mark.parametrize(("name", "value"), [("k", b"bytes"), ("k", None), ("k", [1]), ("k", True), (7, "v")])
def test_nothing_but_text_and_numbers_can_be_written(disk, name, value):
    with pytest.raises(StoreError) as caught:
        disk._change("write", lambda change: change._cache.set(name, value))
    assert isinstance(caught.value.__cause__, TypeError)
