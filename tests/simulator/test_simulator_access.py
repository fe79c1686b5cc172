from __future__ import annotations

from datetime import date, timedelta, timezone

import openai
import pytest

from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
from finetune_guard.simulator import Simulator
from finetune_guard.simulator.access import may_create_jobs, takes_effect
from tests.support.constants import BASE, DAY, MESSAGES, utc


def create_job(client, training_file):
    return client.fine_tuning.jobs.create(model=BASE, training_file=training_file).id


def refused(client, training_file):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        create_job(client, training_file)
    return caught.value.response.json()["error"]


@pytest.mark.parametrize(
    ("now", "fine_tuned_before", "idle", "expected"),
    [
        (utc(2026, 5, 6, 23, 59, 59), False, None, True),
        (utc(2026, 5, 7), False, None, False),
        (utc(2026, 7, 1, 23, 59, 59), True, None, True),
        (utc(2026, 7, 2), True, None, False),
        (utc(2026, 11, 22), True, 60 * DAY - timedelta(microseconds=1), True),
        (utc(2026, 11, 22), True, 60 * DAY, False),
        (utc(2027, 1, 5, 23, 59, 59), True, timedelta(0), True),
        (utc(2027, 1, 6), True, timedelta(0), False),
    ],
)
def test_each_phase_applies_its_rule(now, fine_tuned_before, idle, expected):
    """Each starts at 00:00 UTC, and day 60 is the first outside."""
    last = now - idle if idle is not None else None
    known = {"fine_tuned_before": fine_tuned_before, "last_inference": last}
    assert expected is may_create_jobs(OPENAI_SELF_SERVE, now, **known)


@pytest.mark.parametrize(
    ("rollover", "expected"),
    [
        (timezone(timedelta(hours=14)), utc(2027, 1, 5, 10)),
        (timezone(timedelta(hours=-12)), utc(2027, 1, 6, 12)),
        (timedelta(hours=36), utc(2027, 1, 7, 12)),
    ],
)
def test_date_takes_effect_at_the_rollover(rollover, expected):
    assert expected == takes_effect(date(2027, 1, 6), rollover)


def test_first_job_counts_as_earlier_fine_tuning(clock, globex_client, upload):
    clock.set(utc(2026, 5, 1))
    training_file = upload(globex_client)
    create_job(globex_client, training_file)
    clock.set(utc(2026, 5, 20))
    assert create_job(globex_client, training_file)


@pytest.mark.parametrize("endpoint", ["chat", "responses", "checkpoint"])
def test_inference_on_any_endpoint_opens_the_window(sim, client, model, training_file, endpoint):
    refused(client, training_file)
    if endpoint == "responses":
        client.responses.create(model=model, input="hello")
    else:
        called = model if endpoint == "chat" else sim.add_model(base=f"{model}:ckpt-step-16")
        client.chat.completions.create(model=called, messages=MESSAGES, stream=endpoint == "chat")
    assert create_job(client, training_file)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"model": BASE, "messages": MESSAGES}),
        ("/embeddings", {"model": "text-embedding-3-small", "input": "hello"}),
    ],
)
def test_base_models_do_not_open_the_window(sim, client, training_file, path, body):
    client.post(path, body=body, cast_to=object)
    assert sim.last_inference() is None
    refused(client, training_file)


def test_refusal_has_openais_status_code_and_text(client, upload, begin_upload):
    """Uploads are still accepted."""
    training_file = upload(client)
    assert begin_upload().id
    assert {
        "message": "OpenAI is winding down the fine-tuning platform and your organization is no longer "
        "able to create new fine-tuning training jobs. Learn more "
        "https://developers.openai.com/api/docs/deprecations#update-to-openais-self-serve-fine-tuning",
        "type": "invalid_request_error",
        "param": None,
        "code": "training_not_available",
    } == refused(client, training_file)


@pytest.mark.parametrize(
    ("settings", "begins", "allowed"),
    [
        ({"rollover": timezone(timedelta(hours=-12))}, utc(2027, 1, 6, 11, 59), timedelta(minutes=1)),
        ({"policy": timedelta(days=15)}, utc(2026, 8, 1), 15 * DAY),
    ],
    ids=["hour", "policy"],
)
def test_rollover_and_policy_are_settings(connect, clock, upload, settings, begins, allowed):
    if "policy" in settings:
        phase = Phase(starts_on=None, requirement=Requirement.RECENT_INFERENCE, window=settings["policy"])
        settings = {"policy": AccessPolicy(name="15 days", phases=(phase,))}
    clock.set(begins)
    with Simulator(clock=clock, models=[BASE], **settings) as simulator:
        client = connect(simulator)
        training_file, own = upload(client), client.models.list().data[-1].id
        client.chat.completions.create(model=own, messages=MESSAGES)
        assert create_job(client, training_file)
        clock.advance(allowed)
        assert "training_not_available" == refused(client, training_file)["code"]
