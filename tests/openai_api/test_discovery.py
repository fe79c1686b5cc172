"""Which fine-tuned models the API tells of."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from finetune_guard.openai_api.discovery import discover
from tests.openai_api.flow_scripts import NOW, error, reply, run

OLD, NEW, CHECKPOINT = (
    "ft:gpt-4o-mini-2024-07-18:acme::Old",
    "ft:gpt-4o-mini-2024-07-18:acme::New",
    "ft:gpt-4o-mini-2024-07-18:acme::New:ckpt-step-16",
)


def model(name: object, created: object) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created}


def job(name: object, created: object = 1_750_000_000, job_id: object = "ftjob-1") -> dict[str, object]:
    return {"id": job_id, "fine_tuned_model": name, "created_at": created}


def test_the_models_list_is_enough_when_it_names_fine_tunes():
    """The newest finished model comes first, checkpoints last, base models not at all."""
    listed = [
        model("gpt-4o-mini-2024-07-18", 1),
        model(OLD, 1_740_000_000),
        model(CHECKPOINT, 1_760_000_000),
        model(NEW, 1_750_000_000),
    ]
    found, calls, _ = run(discover(), reply({"data": listed}))
    assert (NEW, OLD, CHECKPOINT) == found.models
    assert datetime.fromtimestamp(1_740_000_000, timezone.utc) == found.fine_tuned_by
    assert ["/models"] == [call.path for call in calls]
    assert (True, False) == (found.complete, found.is_empty)


def test_jobs_are_asked_page_by_page_when_no_model_is_listed():
    """Where the models list names none, finished jobs do, over all pages."""
    first = {"data": [job(None, 1_750_000_000, "ftjob-9")], "has_more": True}
    second = {"data": [job(NEW, 1_740_000_000, "ftjob-8")], "has_more": False}
    found, calls, _ = run(discover(), reply({"data": []}), reply(first), reply(second))
    assert (NEW,) == found.models
    assert datetime.fromtimestamp(1_740_000_000, timezone.utc) == found.fine_tuned_by
    assert [{}, {"limit": 100}, {"limit": 100, "after": "ftjob-9"}] == [call.query for call in calls]
    assert found.complete


def test_no_trace_at_all():
    """Both lists read to their end without a trace is what 'empty' means."""
    found, _, _ = run(discover(), reply({"data": []}), reply({"data": [], "has_more": False}))
    assert ((), None, True, True) == (found.models, found.fine_tuned_by, found.complete, found.is_empty)


@pytest.mark.parametrize(
    "answers",
    [
        (error(403), reply({"data": []})),
        (reply({"data": []}), error(500)),
        (error(401), error(401)),
        (reply("<html>"), reply({"data": []})),
        (reply({"data": 7}), reply({"data": []})),
        (reply({"data": []}), reply(None)),
    ],
)
def test_what_could_not_be_read_is_not_taken_for_nothing(answers):
    """An error, or a body that is no list, makes the search incomplete: it proves no absence."""
    found, _, _ = run(discover(), *answers)
    assert (False, False) == (found.complete, found.is_empty)


def test_an_endless_list_ends():
    """A cursor that never ends is followed for ten pages, and the search counts as incomplete."""
    endless = reply({"data": [job(None)], "has_more": True})
    found, calls, _ = run(discover(), reply({"data": []}), lambda _: endless)
    assert 11 == len(calls)
    assert not found.complete


def test_strange_rows_are_passed_over():
    """Rows of other types, ids and times don't disturb what is well formed."""
    listed = ["x", None, model(7, 1), model(NEW, "today"), model(OLD, True), model(CHECKPOINT, 10**12)]
    found, _, _ = run(discover(), reply({"data": listed}))
    assert {NEW, OLD, CHECKPOINT} == set(found.models)
    assert NOW == found.fine_tuned_by


def test_a_page_without_a_cursor_is_the_last():
    """A row without an id can't be paged on from."""
    page = reply({"data": [job(NEW, job_id=None)], "has_more": True})
    found, calls, _ = run(discover(), reply({"data": []}), page)
    assert (2, True) == (len(calls), found.complete)


@pytest.mark.parametrize("strange", ["x" * 100_000, "\ud800", "a\nb", "\x1b[2J", ""])
def test_a_cursor_that_can_be_none_is_not_asked_for(strange):
    """An id that no URL could carry ends the search; the client's own request is made all the same."""
    page = reply({"data": [job(NEW, job_id=strange)], "has_more": True})
    found, calls, _ = run(discover(), reply({"data": []}), page)
    assert ((NEW,), 2) == (found.models, len(calls))


def test_a_list_without_bounds_is_none():
    """A list of more rows than an organization can have models is not kept, and proves no absence."""
    found, _, _ = run(discover(), reply({"data": [model(NEW, 1)] * 100_001}), reply({"data": []}))
    assert ((), False) == (found.models, found.is_empty)
