from __future__ import annotations

from datetime import datetime, timedelta, timezone

import openai
import pytest

from finetune_guard.domain.model_ids import FineTunedModel
from tests.support.constants import BASE, MESSAGES


@pytest.fixture
def jobs(client):
    return client.fine_tuning.jobs


@pytest.fixture
def start_job(client, jobs, model, training_file):
    """Creates jobs for an organization that may create them."""
    client.chat.completions.create(model=model, messages=MESSAGES)
    return lambda **fields: jobs.create(**{"model": BASE, "training_file": training_file, **fields})


def test_job_runs_and_creates_working_models(clock, sim, client, jobs, start_job):
    job = start_job(suffix="My Bot", seed=7, metadata={"team": "support"})
    assert ("validating_files", None, BASE) == (job.status, job.fine_tuned_model, job.model)
    assert (sim.organization().id, 7, {"team": "support"}) == (job.organization_id, job.seed, job.metadata)
    assert 2 == len(list(jobs.list_events(job.id)))

    clock.advance(timedelta(minutes=10))
    assert "running" == jobs.retrieve(job.id).status

    clock.advance(timedelta(minutes=20))
    done = jobs.retrieve(job.id)
    assert ("succeeded", job.created_at + 1800) == (done.status, done.finished_at)
    assert "my-bot" == FineTunedModel.parse(done.fine_tuned_model).suffix
    (checkpoint,) = jobs.checkpoints.list(job.id)
    for tuned in (done.fine_tuned_model, checkpoint.fine_tuned_model_checkpoint):
        assert tuned == client.chat.completions.create(model=tuned, messages=MESSAGES).model
        assert tuned in {item.id for item in client.models.list()}
    newest, *_, first = messages = [event.message for event in jobs.list_events(job.id, limit=2)]
    assert ("The job has successfully completed", 5) == (newest, len(messages))
    assert first.startswith("Created fine-tuning job")

    continued = start_job(model=done.fine_tuned_model)
    clock.advance(timedelta(hours=1))
    assert BASE == FineTunedModel.parse(jobs.retrieve(continued.id).fine_tuned_model).base


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "gpt-6-luna"}, "model_not_available", None),
        ({"model": f"ft:{BASE}:globex::AbC123xY"}, "model_not_available", None),
        ({"training_file": "file-unknown"}, "invalid_file", "training_file"),
        ({"suffix": "x" * 65}, "invalid_value", "suffix"),
        ({"method": {"type": "reinforcement"}}, "missing_required_parameter", "method.reinforcement.grader"),
    ],
)
def test_wrong_job_is_a_400_that_is_not_the_policys(start_job, fields, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        start_job(**fields)
    assert (code, param) == (caught.value.code, caught.value.param)


def test_job_on_a_shut_down_base_is_refused(clock, sim, client, start_job):
    clock.set(datetime(2026, 11, 1, tzinfo=timezone.utc))
    client.chat.completions.create(model=sim.add_model(), messages=MESSAGES)
    with pytest.raises(openai.NotFoundError, match="has been deprecated"):
        start_job(model="gpt-4.1-nano-2025-04-14")


def test_cancelled_job_creates_no_model(clock, jobs, start_job):
    job = start_job()
    assert "cancelled" == jobs.cancel(job.id).status
    clock.advance(timedelta(hours=1))
    assert jobs.retrieve(job.id).fine_tuned_model is None
    with pytest.raises(openai.BadRequestError):
        jobs.cancel(job.id)


def test_jobs_are_listed_newest_first_in_pages(jobs, start_job):
    ids = [start_job().id for _ in range(5)]
    first = jobs.list(limit=2)
    assert (True, ids[:2:-1]) == (first.has_more, [job.id for job in first.data])
    assert ids[::-1] == [job.id for job in jobs.list(limit=2)]
    assert [] == jobs.list(after=ids[0]).data
    assert jobs.list(limit=5).has_more is False


def test_organizations_do_not_see_each_other(
    sim, client, globex_client, globex, upload, start_job, ask, model
):
    job, batch_file = start_job(), upload(client, b'{"custom_id": "1"}\n', "batch")
    batch = client.batches.create(input_file_id=batch_file, endpoint="/v1/responses", completion_window="24h")
    for lists in (globex_client.files, globex_client.fine_tuning.jobs, globex_client.batches):
        assert [] == list(lists.list())
    for look, expected in (
        (globex_client.files.content, batch_file),
        (globex_client.models.retrieve, model),
        (globex_client.batches.retrieve, batch.id),
        (globex_client.fine_tuning.jobs.retrieve, job.id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            look(expected)
    assert "fine_tune_not_found" == caught.value.code
    other = sim.add_model(globex)
    globex_client.chat.completions.create(model=other, messages=MESSAGES)
    assert other not in {item.id for item in client.models.list()}
    ((used,),) = (bucket["results"] for bucket in ask()["data"])
    assert 1 == used["num_model_requests"]  # this organization's own
