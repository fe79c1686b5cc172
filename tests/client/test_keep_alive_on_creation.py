"""A keep-alive is sent before a job is created when it is configured and due, and never otherwise."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

import openai
import pytest

from finetune_guard import (
    InferenceWindowExpiredError,
    KeepAlive,
    KeepAliveError,
    NoInferenceRecordedError,
    Source,
)
from finetune_guard.simulator import Fault
from tests.client.flavours import create_job, done
from tests.support.constants import TRAINING_DATA

pytestmark = pytest.mark.anyio

CHAT, JOBS = "/chat/completions", "/fine_tuning/jobs"


@pytest.fixture
def create(sim):
    return partial(create_job, training_file=sim.add_file(content=TRAINING_DATA))


@pytest.fixture
def keep_open(connect):
    """A client that keeps the window open when a job is created."""
    return connect(config={"keep_alive": KeepAlive(renew_within=timedelta(days=14))})


@pytest.mark.parametrize("days", [46, 61])
async def test_keep_alive_is_sent_before_the_job(keep_open, infer, clock, posts, model, create, days):
    await infer(keep_open)
    now = clock.advance(timedelta(days=days))
    assert "validating_files" == (await create(keep_open)).status
    last = (await done(keep_open.guard.history())).last_inference
    assert (model, now, Source.KEEP_ALIVE) == (last.model, last.at, last.source)
    assert (2, 1) == (posts(CHAT), posts(JOBS))


async def test_keep_alive_is_sent_before_an_upload(keep_open, clock, posts, model):
    upload = {"file": ("a.jsonl", TRAINING_DATA), "purpose": "fine-tune"}
    for sent in (1, 2):
        await done(keep_open.files.create(**upload))
        await done(keep_open.files.create(**upload))
        assert (sent, 2 * sent) == (posts(CHAT), posts("/files"))
        clock.advance(timedelta(days=61))


async def test_failed_keep_alive_stops_no_job_in_an_open_window(keep_open, infer, clock, sim, create, caplog):
    await infer(keep_open)
    clock.advance(timedelta(days=50))
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions"))
    assert "validating_files" == (await create(keep_open)).status
    assert ["The keep-alive failed"] == [
        record.message.partition(";")[0] for record in caplog.records if record.levelno >= logging.WARNING
    ]


async def test_error_after_a_failed_keep_alive_names_both_reasons(
    keep_open, infer, clock, sim, posts, model, create
):
    await infer(keep_open)
    clock.advance(timedelta(days=61))
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions", times=None))
    with pytest.raises(InferenceWindowExpiredError, match="429 insufficient_quota") as caught:
        await create(keep_open)
    failure = caught.value.__cause__
    assert isinstance(failure, KeepAliveError)
    assert {model: "429 insufficient_quota"} == failure.attempts
    assert isinstance(failure.__cause__, openai.RateLimitError)
    assert (2, 0) == (posts(CHAT), posts(JOBS))


async def test_job_without_any_model_to_call_is_stopped(connect, sim, clock, create):
    other = sim.add_organization(slug="other-1", api_key="sk-other", fine_tuned_before=True)
    client = connect(config={"keep_alive": KeepAlive()}, api_key=other.api_key)
    with pytest.raises(openai.OpenAIError, match="Keep-alive: No fine-tuned model") as caught:
        await create(client)
    assert not isinstance(caught.value, NoInferenceRecordedError)
    assert {} == caught.value.__cause__.attempts
