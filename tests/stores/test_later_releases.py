"""What becomes of rows that a later release has written, or an earlier one, with other fields."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.stores.codec import EVIDENCE
from tests.domain.test_history import evidences
from tests.support.constants import HOUR, NOW

MODEL = "ft:gpt-4o-mini:acme::1"
SUMMARY = ("evidence", "acme")
INFERENCE = ("model", "acme", MODEL)
DAY = ("day", "acme", "2026-11-22")
SHUTDOWN = ("shutdown", "gpt-4o")


def change_row(store, row, *, without=(), **fields):
    """Do to a row what another release would: write other fields than this one."""

    def write(change):
        facts = json.loads(change.read(row)[row][2:]) | fields
        change.write(row, "1:" + json.dumps({name: facts[name] for name in facts.keys() - {*without}}))

    store._change("write", write)


def row_of(store, row):
    return json.loads(store._read("read", lambda rows: rows.read(row))[row][2:])


@pytest.fixture
def later(store, activity):
    """A store that a later release has written to as well."""
    store.record("acme", [activity(count=2)])
    store.announce({"gpt-4o": Announced(day=None, seen_at=NOW)})
    change_row(store, SUMMARY, tier={"name": "5", "since": [1, None]}, nothing=None)
    known = row_of(store, SUMMARY)["last_inference"]
    change_row(store, SUMMARY, last_inference=known | {"source": "webhook", "region": "eu"})
    change_row(store, INFERENCE, source="webhook", region="eu")
    change_row(store, DAY, webhook=7)
    change_row(store, SHUTDOWN, replacement="gpt-6")
    return store


@given(evidences)
def test_every_summary_can_be_read_again(evidence):
    assert evidence == EVIDENCE.read(EVIDENCE.text(evidence))


def test_fields_that_an_earlier_release_did_not_write(store, activity):
    store.record("acme", [activity()])
    change_row(store, SUMMARY, without=("usage_read", "listed", "ended"))
    store.record("acme", [activity(at=NOW + HOUR)])

    assert NOW + HOUR == store.evidence("acme").last_inference.at


def test_unknown_fields_and_sources_hide_no_known_ones(later):
    last = later.evidence("acme").last_inference

    assert (NOW, MODEL, Source.IMPORTED) == (last.at, last.model, last.source)
    assert {MODEL: last} == later.history("acme").models
    assert {NOW.date(): {Source.OBSERVED: 2}} == later.history("acme").daily
    assert {"gpt-4o": Announced(day=None, seen_at=NOW)} == later.announced()


def test_unchanged_facts_keep_their_unknown_fields(later, activity):
    before = {row: row_of(later, row) for row in (SUMMARY, INFERENCE, SHUTDOWN)}
    later.record("acme", [activity(at=NOW - HOUR)])
    later.announce({"gpt-4o": Announced(day=None, seen_at=NOW - HOUR)})

    assert before[SUMMARY] | {"fine_tuned_by": "2026-11-22T11:00:00Z"} == row_of(later, SUMMARY)
    assert before[INFERENCE] == row_of(later, INFERENCE)
    assert before[SHUTDOWN] == row_of(later, SHUTDOWN)
    assert {"observed": 3, "webhook": 7} == row_of(later, DAY)


def test_unknown_fields_survive_a_newer_fact_of_their_row(later, activity):
    later.record("acme", [activity(at=NOW + HOUR)])
    later.announce({"gpt-4o": Announced(day=NOW.date(), seen_at=NOW + HOUR)})

    summary, inference = row_of(later, SUMMARY), row_of(later, INFERENCE)
    assert {"name": "5", "since": [1, None]} == summary["tier"]
    last = summary["last_inference"]
    assert ("observed", None) == (last["source"], last.get("region"))
    assert ("observed", "eu") == (inference["source"], inference["region"])
    assert "gpt-6" == row_of(later, SHUTDOWN)["replacement"]


def test_unknown_fields_survive_linking_an_alias(later, activity):
    later.record("umbrella", [activity(at=NOW - HOUR)])
    later.link("acme", "umbrella")

    summary = row_of(later, ("evidence", "umbrella"))
    assert "5" == summary["tier"]["name"]
    last = summary["last_inference"]
    assert ("umbrella", "webhook") == (last["organization"], last["source"])
    assert "eu" == row_of(later, ("model", "umbrella", MODEL))["region"]
    assert 7 == row_of(later, ("day", "umbrella", "2026-11-22"))["webhook"]
    assert ("umbrella",) == later.organizations()


def test_unknown_fields_of_usage_spans_survive_another_span(store):
    spans = [{"start": f"2026-11-0{day}T00:00:00Z", "end": f"2026-11-0{day}T12:00:00Z"} for day in (1, 3)]
    read = [Evidence.model_validate({"organization": "acme", "usage_read": [span]}) for span in spans]
    store.merge(History(evidence=read[0]))
    change_row(store, SUMMARY, usage_read=[spans[0] | {"lag": 60}])
    store.merge(History(evidence=read[1]))

    assert [spans[0] | {"lag": 60}, spans[1]] == row_of(store, SUMMARY)["usage_read"]
    assert [span.start.day for span in store.evidence("acme").usage_read] == [1, 3]
