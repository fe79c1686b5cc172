"""Which models a keep-alive is sent to, in which order, and what happens if one fails."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard import FineTuneGuardError, KeepAlive, KeepAliveError
from finetune_guard.simulator import Fault
from tests.client.flavours import done
from tests.support.constants import BASE

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"


@pytest.fixture
def called_models(sim):
    """The models called since the last look, with the status of each answer."""

    def look():
        calls = [(call.model, call.status) for call in sim.calls if call.path == CHAT]
        sim.clear_calls()
        return calls

    return look


@pytest.fixture
async def three_models(client, infer, sim, clock, called_models):
    """Three models, used one after the other; the window has lapsed since."""
    models = [sim.add_model(suffix=name) for name in ("first", "second", "third")]
    for model in models:
        await infer(client, on=model)
        clock.advance(timedelta(days=1))
    clock.advance(timedelta(days=60))
    called_models()
    return models


async def test_missing_model_is_followed_by_the_next_at_once(client, three_models, called_models, sim):
    for model, status in zip(three_models[1:], (403, 404), strict=True):
        sim.fault(Fault(path=CHAT, model=model, status=status))
    assert three_models[0] == (await done(client.guard.keep_alive())).model
    assert [(three_models[2], 404), (three_models[1], 403), (three_models[0], 200)] == called_models()


async def test_only_the_named_model_is_tried(client, three_models, called_models, sim):
    sim.fault(Fault(path=CHAT, model=three_models[1], status=404, code="model_not_found"))
    with pytest.raises(KeepAliveError) as caught:
        await done(client.guard.keep_alive(model=three_models[1]))
    assert {three_models[1]: "404 model_not_found"} == caught.value.attempts
    assert [(three_models[1], 404)] == called_models()


async def test_without_history_the_newest_listed_model_is_called(client, sim, called_models):
    sim.add_model(suffix="old")
    sim.clock.advance(timedelta(days=1))
    newest = sim.add_model(suffix="new")
    sim.add_model(base=f"{newest}:ckpt-step-10")
    assert newest == (await done(client.guard.keep_alive())).model
    assert [(newest, 200)] == called_models()


async def test_models_are_found_through_jobs_without_the_models_list(client, sim, called_models, model):
    job = {"id": "ftjob-1", "object": "fine_tuning.job", "fine_tuned_model": model, "created_at": 1785000000}
    sim.fault(Fault(path="/v1/models", method="GET", status=403, times=None))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", status=200, times=None, body={"data": [job]}))
    assert model == (await done(client.guard.keep_alive())).model
    assert [(model, 200)] == called_models()


async def test_lists_are_read_once_for_a_job_with_a_keep_alive(connect, sim):
    page = {"object": "list", "has_more": True}
    for number in range(30):
        row = {"id": f"ftjob-{number}", "object": "fine_tuning.job", "created_at": 1785000000}
        sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", status=200, body={**page, "data": [row]}))
    client = connect(config={"keep_alive": KeepAlive()})
    with pytest.raises(FineTuneGuardError):
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    paths = [call.path for call in sim.calls if call.method == "GET"]
    assert ["/v1/models"] + ["/v1/fine_tuning/jobs"] * 10 == paths


async def test_exhausted_quota_ends_the_keep_alive(connect, three_models, called_models, sim):
    """The SDK's error is the cause."""
    client = connect(max_retries=5)
    sim.fault(Fault.insufficient_quota(path=CHAT, times=None))
    with pytest.raises(KeepAliveError) as caught:
        await done(client.guard.keep_alive())
    assert {three_models[2]: "429 insufficient_quota"} == caught.value.attempts
    assert type(caught.value.__cause__) is openai.RateLimitError
    assert 1 == len(called_models())


async def test_error_names_every_model_and_no_secret(client, three_models, sim, model):
    key = sim.organization().api_key
    sim.fault(Fault(path=CHAT, status=404, code="model_not_found", message=f"not for {key}", times=None))
    with pytest.raises(KeepAliveError) as caught:
        await done(client.guard.keep_alive())
    assert {*three_models, model} == set(caught.value.attempts)  # the last one was found through the API
    assert all(model in str(caught.value) for model in three_models)
    assert caught.value.remedy in str(caught.value)
    assert key not in f"{caught.value}{caught.value!r}{caught.value.attempts}"
