"""What a database can't do by what it says about itself: its settings, triggers and views."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.domain.errors import StoreError
from tests.stores.disk_files import tamper

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
MODEL = "ft:gpt-4o-mini:acme::1"


def refused(call, store, says):
    with pytest.raises(StoreError, match=says) as caught:
        call(store)
    assert caught.value.remedy
    assert caught.value.remedy in str(caught.value)
    assert store.location in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_directory", "{outside}"),
        ("directory", "{outside}"),
        ("_timeout", 1e9),
        ("get", "no method"),
        ("_disk", None),
        ("disk_fetch", "no method"),
        ("disk__directory", "{outside}"),
        ("disk_min_file_size", 0),
        ("disk_surplus", 1),
        ("eviction_policy", "least-recently-stored"),
        ("eviction_policy", "no such policy"),
        ("cull_limit", 1_000_000),
        ("size_limit", 1),
        ("statistics", 1),
        ("tag_index", 1),
        ("count", "many"),
        ("sqlite_journal_mode", "off"),
        ("sqlite_mmap_size", 2**40),
        ("sqlite_temp_store_directory", "'{outside}'"),
        ("sqlite_writable_schema", 1),
        ("sqlite_user_version; DROP TABLE Cache", 1),
        (b"bytes", b"bytes"),
        (5, 5),
    ],
    ids=str,
)
def test_tampered_settings_are_not_obeyed(filled, tmp_path, activity, name, value):
    """What the file says about how to treat it is ignored: nothing is evicted, moved or written elsewhere."""
    folder = tmp_path / "state" / "guard"
    outside = tmp_path / "outside"
    outside.mkdir()
    if isinstance(value, str):
        value = value.format(outside=outside)
    tamper(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value)

    for number in range(20):
        filled.record("acme", [activity(f"ft:new:acme::{number}")])
    filled.close()

    assert 21 == len(filled.history("acme").models)
    assert [] == list(outside.iterdir())
    assert {"cache.db", "cache.db-shm", "cache.db-wal"} == {path.name for path in folder.iterdir()}


def harmed(store, activity):
    # The first of these writes may go through; what the trigger did is found by the next call then.
    store.record("acme", [activity("ft:new:acme::2")])
    store.history("acme")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER planted AFTER INSERT ON Cache BEGIN SELECT load_extension('/tmp/evil.so'); END",
        "CREATE TRIGGER planted AFTER INSERT ON Cache BEGIN UPDATE Cache SET filename = '../x'; END",
        "CREATE TRIGGER planted AFTER INSERT ON Cache BEGIN SELECT RAISE(ABORT, 'forged\nline'); END",
    ],
)
def test_planted_triggers_harm_nothing_else(filled, folder, precious, activity, statement):
    """Code in the schema ends in an error of one printable line at most, and reaches no other file."""
    tamper(folder, statement)

    filled.evidence("acme")
    with pytest.raises(StoreError) as caught:
        harmed(filled, activity)
    assert str(caught.value).isprintable()
    assert precious.exists()


def test_a_planted_view_does_not_run_for_ever(filled, folder, monkeypatch):
    """A table that was replaced by an endless query is refused."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    tamper(folder, "ALTER TABLE Cache RENAME TO Old")
    tamper(folder, f"CREATE VIEW Cache AS {endless}")

    refused(lambda store: store.evidence("acme"), filled, "not one of finetune-guard's")


def test_an_endless_statement_is_cut_off(filled, folder, monkeypatch, activity):
    """A planted trigger that never ends costs a bounded time."""
    monkeypatch.setattr("finetune_guard.stores.disk.plain_cache.STATEMENT_SECONDS", 0.2)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    tamper(folder, "CREATE TABLE Sink (x)")
    tamper(folder, f"CREATE TRIGGER planted AFTER INSERT ON Cache BEGIN INSERT INTO Sink {endless}; END")

    refused(lambda store: store.record("acme", [activity("ft:new:acme::2")]), filled, "interrupted")
    assert {MODEL} == set(filled.history("acme").models)
