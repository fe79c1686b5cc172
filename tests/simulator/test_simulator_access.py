from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import openai
import pytest

from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
from finetune_guard.simulator import SimulatedClock, Simulator
from finetune_guard.simulator.access import may_create_jobs, takes_effect
from tests.support.constants import BASE, MESSAGES


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


def create_job(client, training_file):
    return client.fine_tuning.jobs.create(model=BASE, training_file=training_file)


def refused(client, training_file):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        create_job(client, training_file)
    assert caught.value.code == "training_not_available"
    return caught.value


@pytest.fixture
def newcomer(sim, connect, training_file):
    """A client of an organization that has never fine-tuned, and its training file."""
    organization = sim.add_organization(slug="globex-77", api_key="sk-simulated-globex")
    client = connect(sim, organization)
    data = b'{"messages": []}\n'
    return client, client.files.create(file=("t.jsonl", data), purpose="fine-tune").id


@pytest.mark.parametrize(
    ("now", "fine_tuned_before", "idle", "expected"),
    [
        (utc(2026, 5, 6, 23, 59, 59), False, None, True),
        (utc(2026, 5, 7), False, None, False),
        (utc(2026, 5, 7), True, None, True),
        (utc(2026, 7, 1, 23, 59, 59), True, None, True),
        (utc(2026, 7, 2), True, None, False),
        (utc(2026, 7, 2), True, timedelta(0), True),
        (utc(2026, 11, 22), True, timedelta(days=60) - timedelta(microseconds=1), True),
        (utc(2026, 11, 22), True, timedelta(days=60), False),
        (utc(2027, 1, 5, 23, 59, 59), True, timedelta(0), True),
        (utc(2027, 1, 6), True, timedelta(0), False),
        (utc(2031, 1, 1), True, timedelta(0), False),
    ],
)
def test_the_rules_of_every_phase(now, fine_tuned_before, idle, expected):
    """Each of the policy's dates brings its requirement at 00:00 UTC, and day 60 is the first outside."""
    last_inference = now - idle if idle is not None else None

    assert expected is may_create_jobs(
        OPENAI_SELF_SERVE, now, fine_tuned_before=fine_tuned_before, last_inference=last_inference
    )


@pytest.mark.parametrize(
    ("rollover", "expected"),
    [
        (timezone(timedelta(hours=14)), utc(2027, 1, 5, 10)),
        (timezone(timedelta(hours=-12)), utc(2027, 1, 6, 12)),
        (timedelta(hours=36), utc(2027, 1, 7, 12)),
    ],
)
def test_a_date_can_begin_anywhere_in_its_band(rollover, expected):
    """A date's first instant is a zone's midnight, or any time span from midnight UTC."""
    assert expected == takes_effect(date(2027, 1, 6), rollover)


def test_a_first_job_is_earlier_fine_tuning(clock, newcomer):
    """Who created a job before May 7 may create another one after it."""
    clock.set(utc(2026, 5, 1))
    create_job(*newcomer)
    clock.set(utc(2026, 5, 20))

    assert create_job(*newcomer).id


@pytest.mark.parametrize("endpoint", ["chat stream", "responses", "checkpoint"])
def test_any_inference_opens_the_window(sim, client, model, training_file, endpoint):
    """From July 2 on it takes an inference on a fine-tuned model, on whichever endpoint."""
    refused(client, training_file)

    if endpoint.startswith("chat"):
        client.chat.completions.create(model=model, messages=MESSAGES, stream="stream" in endpoint)
    elif endpoint == "checkpoint":
        checkpoint = sim.add_model(base=f"{model}:ckpt-step-16")
        client.chat.completions.create(model=checkpoint, messages=MESSAGES)
    else:
        client.responses.create(model=model, input="hello", stream="stream" in endpoint)

    assert create_job(client, training_file).id


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"model": BASE, "messages": MESSAGES}),
        ("/embeddings", {"model": "text-embedding-3-small", "input": "hello"}),
    ],
)
def test_base_models_do_not_open_the_window(sim, client, training_file, path, body):
    """A base model's answer and an embedding are no inference on a fine-tuned model."""
    client.post(path, body=body, cast_to=object)

    assert sim.last_inference() is None
    refused(client, training_file)


def test_the_refusal_is_the_real_one(client, training_file):
    """The refusal has the status, the code, the type and the text that organizations have seen."""
    error = refused(client, training_file)

    assert error.status_code == 403
    assert error.response.json() == {
        "error": {
            "message": "OpenAI is winding down the fine-tuning platform and your organization is no longer "
            "able to create new fine-tuning training jobs. Learn more "
            "https://developers.openai.com/api/docs/deprecations#update-to-openais-self-serve-fine-tuning",
            "type": "invalid_request_error",
            "param": None,
            "code": "training_not_available",
        }
    }


def test_uploads_are_not_refused(clock, client):
    """A refused organization's training file is taken all the same, as the real API does."""
    clock.set(utc(2028, 1, 1))

    assert client.files.create(file=("t.jsonl", b'{"messages": []}'), purpose="fine-tune").id
    assert client.uploads.create(
        bytes=3, filename="t.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    ).id


def test_the_hour_of_a_date_is_the_callers_choice(connect):
    """A simulator told that dates begin late still allows jobs on the closing day itself."""
    clock = SimulatedClock(utc(2027, 1, 6, 11, 59))
    with Simulator(clock=clock, rollover=timezone(timedelta(hours=-12)), models=[BASE]) as late:
        client = connect(late)
        client.chat.completions.create(model=client.models.list().data[-1].id, messages=MESSAGES)
        training_file = client.files.create(file=("t.jsonl", b'{"messages": []}'), purpose="fine-tune").id

        assert create_job(client, training_file).id

        clock.advance(timedelta(minutes=1))
        refused(client, training_file)


def test_any_policy_can_be_served(connect, clock):
    """Another provider's dates and window are enforced the same way."""
    policy = AccessPolicy(
        name="15 days",
        phases=(Phase(starts_on=None, requirement=Requirement.RECENT_INFERENCE, window=timedelta(days=15)),),
    )
    with Simulator(clock=clock, policy=policy, models=[BASE]) as strict:
        client = connect(strict)
        client.chat.completions.create(model=client.models.list().data[-1].id, messages=MESSAGES)
        clock.advance(timedelta(days=15))
        training_file = client.files.create(file=("t.jsonl", b'{"messages": []}'), purpose="fine-tune").id

        refused(client, training_file)
