from __future__ import annotations

from datetime import datetime, timedelta, timezone

import openai
import openai.types.fine_tuning
import pytest

from finetune_guard.domain.model_ids import FineTunedModel
from tests.support.constants import BASE, MESSAGES


@pytest.fixture
def start(client, model, training_file):
    """Creates jobs for an organization that may."""
    client.chat.completions.create(model=model, messages=MESSAGES)

    def create(**fields):
        return client.fine_tuning.jobs.create(**{"model": BASE, "training_file": training_file, **fields})

    return create


def test_a_job_takes_its_time_and_brings_a_model(clock, sim, client, start):
    """A job is validated, runs and succeeds as the clock is turned; its models then answer."""
    job = start(suffix="My Bot", seed=7, metadata={"team": "support"})
    assert (job.status, job.fine_tuned_model, job.model) == ("validating_files", None, BASE)
    assert job.organization_id == sim.organization().id
    assert (job.seed, job.metadata) == (7, {"team": "support"})

    clock.advance(timedelta(minutes=10))
    assert client.fine_tuning.jobs.retrieve(job.id).status == "running"

    clock.advance(timedelta(minutes=20))
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert done.finished_at == job.created_at + 1800
    assert FineTunedModel.parse(done.fine_tuned_model).suffix == "my-bot"
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    for made in (done.fine_tuned_model, checkpoint.fine_tuned_model_checkpoint):
        assert made == client.chat.completions.create(model=made, messages=MESSAGES).model
        assert made in {item.id for item in client.models.list()}


def test_continued_training(clock, client, model, start):
    """A fine-tune can be trained further; the new model has the same base."""
    job = start(model=model)
    clock.advance(timedelta(hours=1))

    assert FineTunedModel.parse(client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model).base == BASE


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
def test_wrong_jobs_are_refused(start, fields, code, param):
    """A wrong job is a 400 with a code that is never the policy's."""
    with pytest.raises(openai.BadRequestError) as caught:
        start(**fields)

    assert (code, param) == (caught.value.code, caught.value.param)


def test_a_dead_base_can_not_be_tuned(clock, sim, client, start):
    """A base model that was shut down is deprecated for jobs as well."""
    clock.set(datetime(2026, 11, 1, tzinfo=timezone.utc))
    client.chat.completions.create(model=sim.add_model(), messages=MESSAGES)

    with pytest.raises(openai.NotFoundError, match="has been deprecated"):
        start(model="gpt-4.1-nano-2025-04-14")


def test_cancelling(clock, client, start):
    """A cancelled job brings no model and can't be cancelled again."""
    job = start()

    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    clock.advance(timedelta(hours=1))
    assert client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model is None
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(job.id)


def test_jobs_are_listed_in_pages(client, start):
    """All jobs are found however small the pages, the newest first, and ``has_more`` tells the truth."""
    ids = [start().id for _ in range(5)]

    first = client.fine_tuning.jobs.list(limit=2)

    assert (first.has_more, [job.id for job in first.data]) == (True, ids[:2:-1])
    assert ids[::-1] == [job.id for job in client.fine_tuning.jobs.list(limit=2)]
    assert client.fine_tuning.jobs.list(after=ids[0]).data == []
    assert client.fine_tuning.jobs.list(limit=5).has_more is False


def test_events_tell_the_story(clock, client, start):
    """A job's events tell what has happened so far, the newest first, in pages."""
    job = start()
    assert len(list(client.fine_tuning.jobs.list_events(job.id))) == 2
    clock.advance(timedelta(hours=1))

    told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=2)]

    assert told[0] == "The job has successfully completed"
    assert told[-1].startswith("Created fine-tuning job")
    assert len(told) == 5


def test_jobs_belong_to_one_organization(sim, connect, start):
    """Another organization can't see a job."""
    job = start()
    theirs = connect(sim, sim.add_organization(slug="globex-77", api_key="sk-simulated-globex"))

    assert list(theirs.fine_tuning.jobs.list()) == []
    with pytest.raises(openai.NotFoundError) as caught:
        theirs.fine_tuning.jobs.retrieve(job.id)
    assert caught.value.code == "fine_tune_not_found"
