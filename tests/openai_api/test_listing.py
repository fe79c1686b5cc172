"""What the API's lists of models and jobs tell, read page by page or from a body that a program asked for."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from finetune_guard.domain.history import Evidence
from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH
from finetune_guard.domain.organizations import UNNAMED
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.openai_api.listing import (
    MOST_PAGES,
    Traces,
    announcements,
    read_listing,
    read_model_limits,
    read_rows,
    traces_in_jobs,
    traces_in_models,
)
from tests.openai_api.flow_scripts import NOW, connection_error, error, reply, run
from tests.support.constants import BASE

OLD, NEW, LEGACY = f"ft:{BASE}:acme::Old", f"ft:{BASE}:acme::New", "davinci:ft-acme-2022-12-22-07-26-01"
CHECKPOINT = f"{NEW}:ckpt-step-16"
SECOND = int(NOW.timestamp())
EMPTY = {"object": "list", "data": [], "has_more": False}
EARLY = 1_730_000_000


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def model(name: object, created: object = 1_750_000_000, **fields: object) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created, **fields}


def job(name: object, created: object = 1_740_000_000, finished: object = None, job_id: object = "ftjob-1"):
    body = {"id": job_id, "object": "fine_tuning.job", "fine_tuned_model": name, "created_at": created}
    return {**body, "finished_at": finished, "organization_id": "org-AbC123"}


def page(*rows: object, more: object = False) -> dict[str, object]:
    return {"object": "list", "data": list(rows), "has_more": more}


def proven(begun, created=None, organizations=frozenset(), listed=None):
    evidence = Evidence(
        organization=UNNAMED, fine_tuned_by=begun, job_created_at=created, listed=listed or {}
    )
    return Traces(evidence, organizations)


def everything() -> Any:
    return read_listing(most_job_pages=1_000, always_jobs=True)


def test_models_list_suffices_when_it_names_fine_tunes():
    """The newest finished model comes first, checkpoints last, base models not at all."""
    listed = page(model(BASE, 1), model(OLD, EARLY), model(CHECKPOINT, 1_760_000_000), model(NEW))
    listing, calls, _ = run(read_listing(), reply(listed))
    assert (NEW, OLD, CHECKPOINT) == listing.newest_first
    assert at(EARLY) == listing.traces.evidence.fine_tuned_by
    assert ["/models"] == [call.path for call in calls]
    assert (True, False, None) == (listing.complete, listing.is_empty, listing.failure)


def test_both_lists_are_read_on_request_and_merged():
    models = page(model(BASE, 1, shutdown_date="2027-01-14"), model(NEW), model(CHECKPOINT), model(LEGACY))
    jobs = page(job(OLD, 1_740_000_000, 1_745_000_000), job(None, EARLY), job(NEW, 1_749_000_000))
    listing, calls, _ = run(everything(), reply(models), reply(jobs))
    created_at = at(1_750_000_000)
    assert {
        NEW: created_at,
        CHECKPOINT: created_at,
        LEGACY: created_at,
        OLD: at(1_745_000_000),
    } == listing.created
    assert {BASE: Announced(day=date(2027, 1, 14), seen_at=NOW)} == listing.announced
    listed = dict.fromkeys([NEW, CHECKPOINT, LEGACY, OLD], NOW.date())
    assert proven(at(EARLY), at(1_749_000_000), frozenset({"org-AbC123"}), listed) == listing.traces
    assert [("/models", {}), ("/fine_tuning/jobs", {"limit": 100})] == [(c.path, c.query) for c in calls]


def test_only_two_complete_empty_lists_mean_no_fine_tuning():
    listing, _, _ = run(read_listing(), reply(EMPTY), reply(EMPTY))
    assert ({}, Traces(), True, True) == (listing.created, listing.traces, listing.complete, listing.is_empty)
    listing, _, _ = run(read_listing(), error(500), error(500))
    assert (None, Traces(), {}) == (listing.reply, listing.traces, listing.announced)


@pytest.mark.parametrize(
    ("answers", "models", "failure"),
    [
        ((error(403), reply(page(job(NEW)))), {NEW}, 403),
        ((reply(page(model(NEW))), error(500)), {NEW}, 500),
        ((error(401), error(429)), set(), 401),
        ((reply(EMPTY), reply(page(job(NEW), more=True)), error(500)), {NEW}, 500),
        ((reply(page(model(NEW))), reply({"data": 7})), {NEW}, None),
        ((reply(page(*[model(NEW)] * 100_001)), reply(EMPTY)), set(), None),
        ((reply(None), reply(None)), set(), None),
    ],
    ids=str,
)
def test_failed_list_leaves_the_other(answers, models, failure):
    """It proves no absence, and no error is raised."""
    listing, _, _ = run(everything(), *answers)
    assert models == {*listing.created}
    assert (False, False) == (listing.complete, listing.is_empty)
    assert failure == (listing.failure.status_code if listing.failure is not None else None)


@pytest.mark.parametrize(
    "last",
    [
        *([job(NEW, job_id=odd)] for odd in ("ftjob-1", None, "", "x" * 100_000, "\ud800", "a\nb")),
        *([None], ["x"], []),
    ],
    ids=lambda rows: ascii(rows)[-40:],
)
def test_invalid_or_repeated_cursor_ends_an_incomplete_reading(last):
    rows = [job(OLD, job_id="ftjob-2"), *last] if last else []
    listing, calls, _ = run(read_listing(), reply(EMPTY), lambda _: reply(page(*rows, more=True)))
    assert len(calls) <= 3
    assert (bool(rows), False) == (OLD in listing.created, listing.complete)


@pytest.mark.parametrize(("limits", "most"), [({}, 10), ({"most_job_pages": 1_000}, 1_000)], ids=str)
def test_job_pages_are_limited(limits, most):
    numbers = iter(range(10_000))

    def next_page(call: Any) -> Any:
        if call.path == "/models":
            return reply(EMPTY)
        return reply(page(job(None, job_id=f"ftjob-{next(numbers)}"), more=True))

    listing, calls, _ = run(read_listing(**limits), next_page)
    assert (1 + most, False) == (len(calls), listing.complete)
    assert {"limit": 100, "after": f"ftjob-{most - 2}"} == calls[-1].query


@pytest.mark.parametrize("second", ["today", True, 0, 10**30, float("inf"), 4_000_000_000])
def test_invalid_times_are_ignored(second):
    """The model still proves fine-tuning."""
    models, jobs = page(model(NEW, second)), page(job(OLD, second, second))
    listing, _, _ = run(everything(), reply(models), reply(jobs))
    assert {NEW: None, OLD: None} == listing.created
    assert (NOW, None) == (listing.traces.evidence.fine_tuned_by, listing.traces.evidence.job_created_at)
    assert (NEW, OLD) == listing.newest_first


def test_times_missing_in_one_list_come_from_the_other():
    jobs = page(job(NEW, 1_740_000_000, "soon"))
    listing, _, _ = run(everything(), reply(page(model(NEW, None))), reply(jobs))
    assert {NEW: at(1_740_000_000)} == listing.created


def test_malformed_rows_are_ignored():
    strange = page("x", None, 7, [], {}, model(7), model("ft:a\nb:c::d"), model("gpt-9"))
    listing, _, _ = run(read_listing(), reply(strange), reply(strange))
    assert ({}, True) == (listing.created, listing.is_empty)
    for body in (EMPTY, {**job(NEW), "object": "fine_tuning.job.event"}, {"error": {"code": "x"}}):
        assert Traces() == traces_in_jobs(body, NOW)


def test_jobs_prove_fine_tuning_and_name_their_organization():
    """The earliest listed job counts."""
    one, two = job(None, SECOND - 3_600), job(None, SECOND - 7_200)
    hours = [NOW - timedelta(hours=number) for number in range(3)]
    expected = proven(hours[2], hours[1], frozenset({"org-AbC123"}))
    assert expected == traces_in_jobs(page(one, {**two, "organization_id": 7}), NOW)
    alone = proven(hours[1], hours[1], frozenset({"org-AbC123"}))
    assert alone == traces_in_jobs(one, NOW)
    assert expected == alone.joined(expected) == expected.joined(alone) == expected.joined(Traces())


def test_fine_tuned_model_proves_fine_tuning_since_its_creation():
    earlier = model(NEW, SECOND - 60)
    listed = {NEW: NOW.date()}
    a_minute_ago = proven(NOW - timedelta(minutes=1), listed=listed)
    assert a_minute_ago == traces_in_models(page(model(BASE, 1), earlier), NOW)
    assert proven(NOW, listed=listed) == traces_in_models({"id": NEW}, NOW)
    assert proven(NOW, listed=listed) == traces_in_models(model(NEW, SECOND + 60), NOW)
    assert Traces() == traces_in_models(model(BASE, 1), NOW)


@pytest.mark.parametrize(
    ("row", "days"),
    [
        ({"id": BASE, "shutdown_date": "2027-01-14"}, {BASE: date(2027, 1, 14)}),
        ({"id": BASE, "shutdown_date": None}, {BASE: None}),
        ({"id": BASE}, {}),
        ({"shutdown_date": "2027-01-14"}, {}),
        ({"id": BASE, "shutdown_date": "2027-W02-4"}, {}),
        ({"id": BASE, "shutdown_date": "2027-02-30"}, {}),
        ({"id": BASE, "shutdown_date": "\uff12\uff10\uff12\uff17-01-14"}, {}),
        ({"id": BASE, "shutdown_date": 1_800_000_000}, {}),
        ({"id": 7, "shutdown_date": "2027-01-14"}, {}),
        ({"id": "", "shutdown_date": "2027-01-14"}, {}),
        ({"id": "a\x1b[0m", "shutdown_date": "2027-01-14"}, {}),
        ({"id": "a" * MAX_MODEL_ID_LENGTH, "shutdown_date": None}, {"a" * MAX_MODEL_ID_LENGTH: None}),
        ({"id": "a" * (MAX_MODEL_ID_LENGTH + 1), "shutdown_date": None}, {}),
    ],
)
def test_shutdown_date_of_a_model_object_is_validated(row, days):
    expected = {name: Announced(day=day, seen_at=NOW) for name, day in days.items()}
    assert expected == announcements(row, NOW)
    assert expected == announcements({"object": "list", "data": [None, row, "x"]}, NOW)


def test_model_listed_twice_does_not_depend_on_order():
    listed = [{"id": BASE, "shutdown_date": day} for day in ("2027-01-14", "2026-12-24", None)]
    assert {BASE: Announced(day=date(2026, 12, 24), seen_at=NOW)} == announcements({"data": listed}, NOW)
    assert announcements({"data": listed}, NOW) == announcements({"data": listed[::-1]}, NOW)


def asked_once(call):
    return (yield call)


@pytest.mark.parametrize(
    ("pages", "whole"),
    [
        ([page({"id": "a"}, {"id": "b"}, more=True), page({"id": "c"})], True),
        ([page()], True),
        ([page({"id": "a"}, {"id": "b"}, more=True), page({"id": "c"}, more=None)], False),
        ([page({"id": "a"}, 7, {"id": "b"}, more=True), page({"id": "c"})], False),
        ([page({"id": "a"}, {"id": "b"}, more=True), {"data": None}], False),
        ([page({"id": "a"}, {"id": "b"}, more=True), page({"id": "b"}, more=True)], False),
        ([page({"id": "a"}, {"no": "id"}, more=True)], False),
    ],
)
def test_list_is_complete_only_if_every_page_and_row_is_valid(pages, whole):
    rows = []
    end, calls, _ = run(read_rows("/x", 2, rows.append, asked_once), *map(reply, pages))
    assert whole is end
    assert [row for body in pages for row in body["data"] or () if row != 7] == rows
    assert [{"limit": 2}, {"limit": 2, "after": "b"}][: len(pages)] == [call.query for call in calls]


def test_list_reading_ends_after_a_thousand_pages():
    count = iter(range(10_000))
    end, calls, _ = run(
        read_rows("/x", 2, lambda row: None, asked_once),
        lambda call: reply(page({"id": f"id-{next(count)}"}, more=True)),
    )
    assert (False, MOST_PAGES) == (end, len(calls))


def test_model_limits_are_kept_bounded_and_without_keys():
    body = {"data": [{"key": "sk-proj-1234567890", "a": "\n" + "x" * 20_000}]}
    (limits, answered), [call], _ = run(read_model_limits(NOW), reply(body))
    assert ("get", "/fine_tuning/model_limits") == (call.method, call.path)
    assert (200, NOW, 2_000) == (limits.status, limits.at, len(limits.answer))
    assert limits.answer.startswith('{"data": [{"key": "***", "a": "')
    assert answered is not None
    (limits, _), _, _ = run(read_model_limits(NOW), reply(None))
    assert "not JSON" == limits.answer
    (limits, answered), _, _ = run(read_model_limits(NOW), error(403, "training_not_available"))
    assert (403, None) == (limits.status, answered)
    assert "403 training_not_available: Incorrect API key: ***." == limits.answer
    (limits, _), _, _ = run(read_model_limits(NOW), connection_error("ConnectError"))
    assert (None, "no connection") == (limits.status, limits.answer)
