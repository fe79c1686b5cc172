"""Which models a keep-alive is sent to, in which order, and what happens if one fails."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard import FineTuneGuardError, KeepAlive, KeepAliveError
from finetune_guard.simulator import Fault
from tests.client.both_ways import done
from tests.support.constants import BASE

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"


@pytest.fixture
def called(sim):
    """The models that were called since the last look, with the answers' statuses."""

    def look():
        calls = [(call.model, call.status) for call in sim.calls if call.path == CHAT]
        sim.clear_calls()
        return calls

    return look


@pytest.fixture
async def three(client, infer, sim, clock, called):
    """Three models, used one after the other; the window has lapsed since."""
    models = [sim.add_model(suffix=name) for name in ("first", "second", "third")]
    for model in models:
        await infer(client, on=model)
        clock.advance(timedelta(days=1))
    clock.advance(timedelta(days=60))
    called()
    return models


async def test_the_next_model_is_tried_at_once(client, three, called, sim):
    """A model that is gone or not permitted is left for the one before it."""
    for model, status in zip(three[1:], (403, 404), strict=True):
        sim.fault(Fault(path=CHAT, model=model, status=status))
    assert three[0] == (await done(client.guard.keep_alive())).model
    assert [(three[2], 404), (three[1], 403), (three[0], 200)] == called()


async def test_only_the_model_asked_for_is_tried(client, three, called, sim):
    """``keep_alive(model=...)`` means that model and no other."""
    sim.fault(Fault(path=CHAT, model=three[1], status=404, code="model_not_found"))
    with pytest.raises(KeepAliveError) as caught:
        await done(client.guard.keep_alive(model=three[1]))
    assert {three[1]: "404 model_not_found"} == caught.value.attempts
    assert [(three[1], 404)] == called()


async def test_models_are_found_through_the_api(client, sim, called):
    """Without a history the API is asked for its models; the newest finished one is called."""
    sim.add_model(suffix="old")
    sim.clock.advance(timedelta(days=1))
    newest = sim.add_model(suffix="new")
    sim.add_model(base=f"{newest}:ckpt-step-10")
    assert newest == (await done(client.guard.keep_alive())).model
    assert [(newest, 200)] == called()


async def test_models_are_found_through_jobs(client, sim, called, model):
    """A key that may not list models may list jobs, which name theirs."""
    job = {"id": "ftjob-1", "object": "fine_tuning.job", "fine_tuned_model": model, "created_at": 1785000000}
    sim.fault(Fault(path="/v1/models", method="GET", status=403, times=None))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", status=200, times=None, body={"data": [job]}))
    assert model == (await done(client.guard.keep_alive())).model
    assert [(model, 200)] == called()


async def test_one_call_reads_the_lists_once(connect, sim):
    """A job with a keep-alive asks for ten pages of jobs at most, and not once more for candidates."""
    page = {"object": "list", "has_more": True}
    for number in range(30):
        row = {"id": f"ftjob-{number}", "object": "fine_tuning.job", "created_at": 1785000000}
        sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", status=200, body={**page, "data": [row]}))
    client = connect(config={"keep_alive": KeepAlive()})
    with pytest.raises(FineTuneGuardError):
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    asked = [call.path for call in sim.calls if call.method == "GET"]
    assert ["/v1/models"] + ["/v1/fine_tuning/jobs"] * 10 == asked


async def test_what_no_retry_can_mend_ends_it(connect, three, called, sim):
    """Without money no other model is tried; the SDK's error is the cause."""
    client = connect(max_retries=5)
    sim.fault(Fault.insufficient_quota(path=CHAT, times=None))
    with pytest.raises(KeepAliveError) as caught:
        await done(client.guard.keep_alive())
    assert {three[2]: "429 insufficient_quota"} == caught.value.attempts
    assert type(caught.value.__cause__) is openai.RateLimitError
    assert 1 == len(called())


async def test_the_error_names_every_model_and_no_secret(client, three, sim, model):
    """The error tells why each model didn't answer, and never quotes the API, which may quote a key."""
    key = sim.organization().api_key
    sim.fault(Fault(path=CHAT, status=404, code="model_not_found", message=f"not for {key}", times=None))
    with pytest.raises(KeepAliveError) as caught:
        await done(client.guard.keep_alive())
    assert {*three, model} == set(caught.value.attempts)  # the last one was found through the API
    assert all(model in str(caught.value) for model in three)
    assert caught.value.remedy in str(caught.value)
    assert key not in f"{caught.value}{caught.value!r}{caught.value.attempts}"
