from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import openai
import pytest

from finetune_guard.simulator import Simulator
from tests.support.constants import BASE, MESSAGES

CHAT = "/v1/chat/completions"
ADMIN_KEY = "sk-simulated-admin"
START = 1785542400  # 2026-08-01 00:00 UTC, where the clock stands
MINUTES = timedelta(minutes=1)


@pytest.fixture
def sim(clock):
    with Simulator(clock=clock, admin_key=ADMIN_KEY) as simulator:
        yield simulator


def line(number, model, url=CHAT, **fields):
    body = {"model": model, "messages": MESSAGES, "input": "hello", "prompt": "hello"}
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body, **fields}


def upload(client, lines):
    content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    return client.files.create(file=("batch.jsonl", content.encode()), purpose="batch").id


def submit(client, lines, endpoint=CHAT, **fields):
    return client.batches.create(
        input_file_id=upload(client, lines), endpoint=endpoint, completion_window="24h", **fields
    )


def read(client, file_id):
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]


@pytest.fixture
def usage(sim, connect):
    admin = connect(sim, api_key=ADMIN_KEY)

    def results(**query):
        page = admin.get(
            "/organization/usage/completions",
            cast_to=object,
            options={"params": {"start_time": START, "group_by": ["model", "project_id", "batch"], **query}},
        )
        return [result for bucket in page["data"] for result in bucket["results"]]

    return results


def test_a_batch_takes_its_time(clock, client, model):
    """A batch is validated, runs and completes as the clock is turned; its answers are in a file."""
    batch = submit(client, [line(n, model) for n in range(3)], metadata={"team": "support"})
    assert ("validating", CHAT, model) == (batch.status, batch.endpoint, batch.to_dict()["model"])
    assert ({"team": "support"}, START + 86_400) == (batch.metadata, batch.expires_at)
    assert (None, None) == (batch.output_file_id, batch.completed_at)

    clock.advance(5 * MINUTES)
    running = client.batches.retrieve(batch.id)
    assert ("in_progress", START + 60) == (running.status, running.in_progress_at)
    assert (3, 0, 0) == tuple(getattr(running.request_counts, n) for n in ("total", "completed", "failed"))

    clock.advance(2 * timedelta(days=1))
    done = client.batches.retrieve(batch.id)
    assert ("completed", START + 600, None) == (done.status, done.completed_at, done.error_file_id)
    assert (3, 3, 0) == tuple(getattr(done.request_counts, n) for n in ("total", "completed", "failed"))
    answers = read(client, done.output_file_id)
    assert [f"request-{n}" for n in range(3)] == [answer["custom_id"] for answer in answers]
    bodies = [answer["response"]["body"] for answer in answers]
    assert {(200, None)} == {(each["response"]["status_code"], each["error"]) for each in answers}
    assert {(model, START + 600)} == {(body["model"], body["created"]) for body in bodies}
    used = done.to_dict()["usage"]
    assert sum(body["usage"]["prompt_tokens"] for body in bodies) == used["input_tokens"]
    assert sum(body["usage"]["completion_tokens"] for body in bodies) == used["output_tokens"]
    file = client.files.retrieve(done.output_file_id)
    assert ("batch_output", START + 600) == (file.purpose, file.created_at)


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("/v1/responses", BASE),
        ("/v1/completions", "davinci-002"),
        ("/v1/embeddings", "text-embedding-3-small"),
    ],
)
def test_every_endpoint(clock, sim, client, endpoint, base):
    """Chats, responses, completions and embeddings are answered in batches."""
    batch = submit(client, [line(0, base, endpoint)], endpoint)
    clock.advance(10 * MINUTES)
    done = client.batches.retrieve(batch.id)

    assert ("completed", 1) == (done.status, done.request_counts.completed)
    (answer,) = read(client, done.output_file_id)
    assert base == answer["response"]["body"]["model"]
    assert done.to_dict()["usage"]["total_tokens"] > 0


def test_an_inference_when_it_completes(clock, sim, client, model):
    """A batch on a fine-tuned model opens the window at the moment in which it completes, not before."""
    submit(client, [line(0, model)])
    clock.advance(10 * MINUTES - timedelta(seconds=1))
    assert sim.last_inference() is None

    clock.advance(timedelta(days=3))

    assert datetime(2026, 8, 1, 0, 10, tzinfo=timezone.utc) == sim.last_inference()


def test_batches_are_in_the_usage(clock, sim, connect, client, model, usage):
    """The requests of a batch are usage of its project, marked as a batch's, once it has completed."""
    project = sim.add_project(sim.organization().slug, "sk-simulated-second")
    client.chat.completions.create(model=model, messages=MESSAGES)
    submit(connect(sim, api_key="sk-simulated-second"), [line(0, model), line(1, model), line(2, "gpt-no")])
    assert [False] == [result["batch"] for result in usage()]

    clock.advance(timedelta(days=1))

    assert {(False, sim.organization().project, 1), (True, project, 2)} == {
        (result["batch"], result["project_id"], result["num_model_requests"]) for result in usage()
    }
    assert [2] == [result["num_model_requests"] for result in usage(batch=True)]
    (hour,) = usage(batch=True, bucket_width="1m", end_time=START + 660)
    assert (model, 2) == (hour["model"], hour["num_model_requests"])


def test_requests_fail_one_by_one(clock, client, model):
    """A request that can't be answered is in the error file, beside answers to the others."""
    wrong = {"model": model, "messages": MESSAGES}
    batch = submit(
        client,
        [
            line(0, model),
            line(1, "gpt-nothing"),
            line(2, "ft:gpt-4.1-nano-2025-04-14:globex::AbC123xY"),
            line(3, model, body={"model": model}),
            line(4, model, body={**wrong, "stream": True}),
        ],
    )
    clock.advance(10 * MINUTES)
    done = client.batches.retrieve(batch.id)

    assert ("completed", None) == (done.status, done.to_dict()["model"])
    assert (5, 1, 4) == tuple(getattr(done.request_counts, n) for n in ("total", "completed", "failed"))
    failed = {each["custom_id"]: each["response"] for each in read(client, done.error_file_id)}
    assert {"request-1": 404, "request-2": 404, "request-3": 400, "request-4": 400} == {
        name: response["status_code"] for name, response in failed.items()
    }
    assert "model_not_found" == failed["request-1"]["body"]["error"]["code"]


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([], "empty_file", None),
        (["[]"], "invalid_json_line", 1),
        ([line(0, BASE), "", line(0, BASE)], "duplicate_custom_id", 3),
        ([line(0, BASE, custom_id=[])], "missing_required_parameter", 1),
        ([line(0, BASE, "/v1/responses")], "invalid_url", 1),
    ],
)
def test_a_wrong_file_fails_as_a_whole(clock, client, lines, code, number):
    """A file that is no list of requests fails when it has been looked at, and says in which line."""
    batch = submit(client, lines)
    assert "validating" == batch.status

    clock.advance(MINUTES)
    failed = client.batches.retrieve(batch.id)

    assert ("failed", START + 60, 0) == (failed.status, failed.failed_at, failed.request_counts.total)
    assert [(code, number)] == [(problem.code, problem.line) for problem in failed.errors.data]
    clock.advance(timedelta(days=1))
    assert client.batches.retrieve(batch.id) == failed


def test_cancelling(clock, sim, client, model, usage):
    """A cancelled batch answers nothing, and can't be cancelled again."""
    batch = submit(client, [line(0, model)])
    clock.advance(2 * MINUTES)

    assert "cancelling" == client.batches.cancel(batch.id).status
    clock.advance(timedelta(days=1))
    done = client.batches.retrieve(batch.id)

    assert ("cancelled", START + 120, START + 180) == (done.status, done.cancelling_at, done.cancelled_at)
    assert (None, None) == (done.output_file_id, done.completed_at)
    assert ([], None) == (usage(), sim.last_inference())
    with pytest.raises(openai.BadRequestError, match="'cancelled'"):
        client.batches.cancel(batch.id)


def test_batches_belong_to_one_organization(sim, connect, client):
    """Another organization can't see a batch."""
    batch = submit(client, [line(0, BASE)])
    theirs = connect(sim, sim.add_organization(slug="globex-77", api_key="sk-simulated-globex"))

    assert [] == list(theirs.batches.list())
    with pytest.raises(openai.NotFoundError):
        theirs.batches.retrieve(batch.id)


def test_how_long_a_batch_takes(clock, connect):
    """A simulator can be told how long batches take; at once is possible, more than a day is not."""
    with Simulator(clock=clock, batch_duration=timedelta(0), models=[BASE]) as quick:
        client = connect(quick)
        batch = submit(client, [line(0, client.models.list().data[-1].id)])

        assert "completed" == client.batches.retrieve(batch.id).status
        assert clock() == quick.last_inference()
    for wrong in (timedelta(hours=25), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="batch_duration"):
            Simulator(batch_duration=wrong)
