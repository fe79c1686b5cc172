"""Every fine-tuned model that a key can see or a history remembers."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.history import Evidence, History, Inference
from finetune_guard.domain.shutdowns import Announced, DateSource, ShutdownDates
from finetune_guard.rules.inventory import Inventory, Visible, joined, read_inventory
from tests.openai_api.flow_scripts import NOW, error, reply, run
from tests.support.constants import BASE

ONE, TWO, CHECKPOINT = (
    f"ft:{BASE}:acme::One",
    f"ft:{BASE}:acme::Two",
    f"ft:{BASE}:acme::One:ckpt-step-16",
)
GONE, UNDATED, LEGACY = (
    "ft:gpt-4-0613:acme::Gone",
    "ft:gpt-9:acme::Undated",
    "davinci:ft-acme-2022-12-22-07-26-01",
)
EMPTY = {"object": "list", "data": [], "has_more": False}
DATES = ShutdownDates(published_catalog())
NOTHING = History(evidence=Evidence(organization="acme-28gund"))


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def model(name: object, created: object = 1_750_000_000, **fields: object) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created, **fields}


def job(
    name: object, created: object = 1_740_000_000, finished: object = None, job_id: object = "ftjob-1"
) -> dict[str, object]:
    return {"id": job_id, "fine_tuned_model": name, "created_at": created, "finished_at": finished}


def page(*rows: object, more: object = False) -> dict[str, object]:
    return {"object": "list", "data": list(rows), "has_more": more}


def remembering(*models: str) -> History:
    used = {name: Inference(organization="acme-28gund", model=name, at=NOW) for name in models}
    return History(evidence=NOTHING.evidence, models=used)


def seen(*models: str, **fields: Any) -> Visible:
    values = {"announced": {}, "fine_tuned_by": None, "complete": True, "reply": None, **fields}
    return Visible(created=dict.fromkeys(models), **values)


def test_models_and_jobs_are_both_read():
    """Models come from both lists, each once, and base models' shutdown dates come along."""
    models = page(model(BASE, 1, shutdown_date="2027-01-14"), model(ONE), model(CHECKPOINT), model(LEGACY))
    jobs = page(job(TWO, 1_740_000_000, 1_745_000_000), job(None, 1_730_000_000), job(ONE, 1_749_000_000))
    found, calls, _ = run(read_inventory(), reply(models), reply(jobs))
    made = at(1_750_000_000)
    assert {ONE: made, CHECKPOINT: made, LEGACY: made, TWO: at(1_745_000_000)} == found.created
    assert {BASE: Announced(day=date(2027, 1, 14), seen_at=NOW)} == found.announced
    assert at(1_730_000_000) == found.fine_tuned_by
    assert [("/models", {}), ("/fine_tuning/jobs", {"limit": 100})] == [(c.path, c.query) for c in calls]
    assert (True, False, None) == (found.complete, found.is_empty, found.failure)


def test_jobs_are_read_page_by_page():
    """Each page is asked for after the last job of the one before."""
    first, second = page(job(ONE, job_id="ftjob-9"), more=True), page(job(TWO, job_id="ftjob-8"))
    found, calls, _ = run(read_inventory(), reply(EMPTY), reply(first), reply(second))
    assert {ONE, TWO} == {*found.created}
    assert [{}, {"limit": 100}, {"limit": 100, "after": "ftjob-9"}] == [call.query for call in calls]
    assert found.complete


def test_no_trace_at_all():
    """Both lists read to their end without a trace is what 'empty' means."""
    found, _, _ = run(read_inventory(), reply(EMPTY), reply(EMPTY))
    assert ({}, None, True, True) == (found.created, found.fine_tuned_by, found.complete, found.is_empty)


@pytest.mark.parametrize(
    ("answers", "models", "failure"),
    [
        ((error(403), reply(page(job(ONE)))), {ONE}, 403),
        ((reply(page(model(ONE))), error(500)), {ONE}, 500),
        ((error(401), error(429)), set(), 401),
        ((reply(EMPTY), reply(page(job(ONE), more=True)), error(500)), {ONE}, 500),
        ((reply("<html>"), reply(page(job(ONE)))), {ONE}, None),
        ((reply(page(model(ONE))), reply({"data": 7})), {ONE}, None),
        ((reply(None), reply(None)), set(), None),
    ],
)
def test_what_could_not_be_read_leaves_the_rest(answers, models, failure):
    """Each list is asked for whatever became of the other; the first error is kept and none is raised."""
    found, _, _ = run(read_inventory(), *answers)
    assert models == {*found.created}
    assert (False, False) == (found.complete, found.is_empty)
    assert failure == (found.failure.status_code if found.failure is not None else None)


def test_without_any_answer_nothing_is_proven():
    """Where the API answered nothing, there is neither a reply nor a trace."""
    found, _, _ = run(read_inventory(), error(500), error(500))
    assert (None, None, {}) == (found.reply, found.fine_tuned_by, found.announced)


@pytest.mark.parametrize(
    "last", [job(ONE, job_id="ftjob-1"), job(ONE, job_id=None), job(ONE, job_id=""), None, "x"]
)
def test_a_list_that_leads_nowhere_is_left(last):
    """A cursor that comes again, or is missing, ends the reading, which then isn't complete."""
    endless = reply(page(job(TWO, job_id="ftjob-2"), last, more=True))
    found, calls, _ = run(read_inventory(), reply(EMPTY), lambda _: endless)
    assert len(calls) <= 3
    assert TWO in found.created
    assert not found.complete


def test_an_empty_page_that_promises_more():
    """It names no job to go on from, so that the reading isn't complete."""
    found, calls, _ = run(read_inventory(), reply(EMPTY), reply(page(more=True)))
    assert (2, False) == (len(calls), found.complete)


def test_an_endless_list_ends():
    """However many jobs there are, a thousand pages are the most that is asked for."""
    numbers = iter(range(10_000))

    def next_page(call: Any) -> Any:
        if call.path == "/models":
            return reply(EMPTY)
        return reply(page(job(None, job_id=f"ftjob-{next(numbers)}"), more=True))

    found, calls, _ = run(read_inventory(), next_page)
    assert (1_001, False) == (len(calls), found.complete)


@pytest.mark.parametrize("second", ["today", True, 0, -5, 10**30, 1.5, None, [1]])
def test_strange_times_are_passed_over(second):
    """A time that can't be is no time; the trace itself still proves that fine-tuning had happened."""
    found, _, _ = run(
        read_inventory(), reply(page(model(ONE, second))), reply(page(job(TWO, second, second)))
    )
    assert {ONE: None, TWO: None} == found.created
    assert NOW == found.fine_tuned_by


def test_the_second_list_fills_what_the_first_leaves_open():
    """A time is taken from the job where the model's is missing, and from its start where its end is."""
    jobs = page(job(ONE, 1_740_000_000, "soon"))
    found, _, _ = run(read_inventory(), reply(page(model(ONE, None))), reply(jobs))
    assert {ONE: at(1_740_000_000)} == found.created


def test_a_time_ahead_of_the_answer_proves_nothing_earlier():
    """A model dated in the future proves fine-tuning by the time of the answer, no later."""
    later = int((NOW + timedelta(days=1)).timestamp())
    found, _, _ = run(read_inventory(), reply(page(model(ONE, later))), reply(EMPTY))
    assert NOW == found.fine_tuned_by


def test_strange_rows_are_passed_over():
    """Rows of other types and ids don't disturb what is well formed, and are no trace of fine-tuning."""
    strange = ["x", None, 7, [], {}, model(7), model("ft:a\nb:c::d"), model("gpt-9"), job(ONE, job_id=None)]
    found, _, _ = run(read_inventory(), reply(page(*strange)), reply(page(*strange[:5], strange[-1])))
    assert ({}, True) == (found.created, found.is_empty)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ONE, LEGACY]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["data", "id", "created", "has_more", "fine_tuned_model", "created_at", "shutdown_date"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)
bodies = garbage | st.builds(
    lambda rows, more: {"data": rows, "has_more": more}, st.lists(garbage), st.booleans()
)


@given(bodies, bodies)
def test_no_body_does_harm(models, jobs):
    """Whatever the API answers, the reading ends without an error and finds fine-tuned models only."""

    def answer(call: Any) -> Any:
        return reply(models if call.path == "/models" else jobs)

    found, _, _ = run(read_inventory(), answer)
    inventory = joined(found, NOTHING, DATES, NOW)
    assert {ONE, LEGACY} >= {record.id for record in inventory.models}


def test_what_ends_first_stands_first():
    """Models are in the order of their ends, those without a known end last, and by id among equals."""
    found = seen(UNDATED, TWO, LEGACY, ONE, CHECKPOINT)
    inventory = joined(found, remembering(GONE), DATES, NOW)
    assert [GONE, ONE, CHECKPOINT, TWO, LEGACY, UNDATED] == [record.id for record in inventory.models]


def test_a_record_joins_all_that_is_known():
    """When a model was made, used last and ends, what follows it, and whether this key sees it."""
    found = seen(announced={ONE: Announced(day=date(2026, 12, 24), seen_at=NOW)})
    found = Visible(**{**vars(found), "created": {ONE: at(1_750_000_000)}})
    history = remembering(ONE, GONE)
    gone, one = joined(found, history, DATES, NOW).models
    assert one.shutdown is not None
    assert (ONE, BASE, None, True) == (one.id, one.base, one.checkpoint_step, one.visible)
    assert (at(1_750_000_000), history.models[ONE]) == (one.created_at, one.last_inference)
    assert (date(2026, 12, 24), DateSource.MODEL, 32) == (
        one.shutdown.day,
        one.shutdown.source,
        one.days_left,
    )
    assert ("gpt-6-luna", False) == (one.replacement, one.replacement_can_be_fine_tuned)
    assert (GONE, None, -30, False) == (gone.id, gone.created_at, gone.days_left, gone.visible)


def test_a_checkpoint_tells_its_step_and_the_unknown_stays_unknown():
    """A checkpoint is a record of its own; a model that no source tells of has no end and no successor."""
    checkpoint, undated = joined(seen(CHECKPOINT, UNDATED), NOTHING, DATES, NOW).models
    assert 16 == checkpoint.checkpoint_step
    assert (None, None, None) == (undated.shutdown, undated.days_left, undated.last_inference)
    assert (None, None) == (undated.replacement, undated.replacement_can_be_fine_tuned)


def test_an_id_that_is_no_fine_tuned_model_is_left_out():
    """A history that holds a strange id does not spoil the inventory."""
    assert () == joined(seen(), remembering("gpt-9", ""), DATES, NOW).models


def test_days_are_those_of_utc():
    """The days left don't depend on the zone that the time is given in."""
    late = datetime(2027, 1, 14, 1, tzinfo=timezone(timedelta(hours=5)))
    (record,) = joined(seen(ONE), NOTHING, DATES, late).models
    assert 1 == record.days_left


def test_what_is_missing_is_said():
    """An inventory tells whether the API was read to its end and, as status and code, why not."""
    found = seen(complete=False, failure=error(403, "missing_scope"))
    inventory = joined(found, NOTHING, DATES, NOW)
    assert (NOW, False, "403 missing_scope") == (inventory.as_of, inventory.complete, inventory.failure)
    assert inventory == Inventory.model_validate_json(inventory.model_dump_json())
    assert joined(seen(), NOTHING, DATES, NOW).failure is None


def test_many_models():
    """Ten thousand models are joined in one go, each once."""
    ids = [f"ft:{BASE}:acme::M{number:05}" for number in range(10_000)]
    inventory = joined(seen(*ids[:6_000]), remembering(*ids[4_000:]), DATES, NOW)
    assert ids == [record.id for record in inventory.models]
