from __future__ import annotations

import json
from datetime import timedelta

import openai
import pytest

from finetune_guard.simulator import Simulator
from tests.support.constants import BASE, DAY, MESSAGES, START

CHAT = "/v1/chat/completions"
FIRST = int(START.timestamp())
MINUTES = timedelta(minutes=1)


def line(number, model, url=CHAT, **fields):
    body = {"model": model, "messages": MESSAGES, "input": "hello", "prompt": "hello"}
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body, **fields}


@pytest.fixture
def submit(client, upload):
    def create(*lines, endpoint=CHAT, client=client, **fields):
        content = "\n".join(
            line_or_value if isinstance(line_or_value, str) else json.dumps(line_or_value)
            for line_or_value in lines
        ).encode()
        fields = {"input_file_id": upload(client, content, "batch"), "completion_window": "24h", **fields}
        return client.batches.create(endpoint=endpoint, **fields)

    return create


def read(client, file_id):
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]


def counts(batch):
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


@pytest.fixture
def usage(ask):
    def results(**query):
        page = ask(group_by=["model", "project_id", "batch"], **query)
        return [result for bucket in page["data"] for result in bucket["results"]]

    return results


def test_batch_completes_and_counts_as_the_clock_advances(clock, sim, client, submit, model):
    batch = submit(*(line(n, model) for n in range(3)), metadata={"team": "support"})
    assert ("validating", CHAT, model) == (batch.status, batch.endpoint, batch.to_dict()["model"])
    assert ({"team": "support"}, FIRST + 86_400) == (batch.metadata, batch.expires_at)

    clock.advance(10 * MINUTES - timedelta(seconds=1))
    running = client.batches.retrieve(batch.id)
    assert ("in_progress", FIRST + 60, (3, 0, 0)) == (running.status, running.in_progress_at, counts(running))
    assert (None, None, None) == (running.output_file_id, running.completed_at, sim.last_inference())

    clock.advance(2 * DAY)
    done = client.batches.retrieve(batch.id)
    assert ("completed", FIRST + 600, None) == (done.status, done.completed_at, done.error_file_id)
    assert ((3, 3, 0), START + 10 * MINUTES) == (counts(done), sim.last_inference())
    answers = read(client, done.output_file_id)
    assert [f"request-{n}" for n in range(3)] == [answer["custom_id"] for answer in answers]
    bodies = [answer["response"]["body"] for answer in answers]
    assert {(200, None)} == {(answer["response"]["status_code"], answer["error"]) for answer in answers}
    assert {(model, FIRST + 600)} == {(body["model"], body["created"]) for body in bodies}
    used = done.to_dict()["usage"]
    assert sum(body["usage"]["prompt_tokens"] for body in bodies) == used["input_tokens"]
    assert sum(body["usage"]["completion_tokens"] for body in bodies) == used["output_tokens"]
    file = client.files.retrieve(done.output_file_id)
    assert ("batch_output", FIRST + 600) == (file.purpose, file.created_at)


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("/v1/responses", BASE),
        ("/v1/completions", "davinci-002"),
        ("/v1/embeddings", "text-embedding-3-small"),
    ],
)
def test_every_batch_endpoint_answers(clock, client, submit, endpoint, base):
    batch = submit(line(0, base, endpoint), endpoint=endpoint)
    clock.advance(10 * MINUTES)
    done = client.batches.retrieve(batch.id)
    (answer,) = read(client, done.output_file_id)
    assert ("completed", 1, base) == (done.status, counts(done)[1], answer["response"]["body"]["model"])
    assert done.to_dict()["usage"]["total_tokens"] > 0


def test_completed_batch_is_in_its_projects_usage(clock, sim, connect, client, submit, model, usage):
    project = sim.add_project(sim.organization().slug, "sk-simulated-second")
    client.chat.completions.create(model=model, messages=MESSAGES)
    second = connect(sim, api_key="sk-simulated-second")
    submit(line(0, model), line(1, model), line(2, "gpt-no"), client=second)
    assert [False] == [result["batch"] for result in usage()]

    clock.advance(DAY)
    assert {(False, sim.organization().project, 1), (True, project, 2)} == {
        (result["batch"], result["project_id"], result["num_model_requests"]) for result in usage()
    }
    (minute,) = usage(batch=True, bucket_width="1m", end_time=FIRST + 660)
    assert (model, 2) == (minute["model"], minute["num_model_requests"])


def test_failed_request_is_in_the_error_file(clock, client, submit, model):
    batch = submit(
        line(0, model),
        line(1, "gpt-nothing"),
        line(2, model, body={"model": model}),
        line(3, model, body={"model": model, "messages": MESSAGES, "stream": True}),
    )
    clock.advance(10 * MINUTES)
    done = client.batches.retrieve(batch.id)
    assert ("completed", None, (4, 1, 3)) == (done.status, done.to_dict()["model"], counts(done))
    failed = {answer["custom_id"]: answer["response"] for answer in read(client, done.error_file_id)}
    assert {"request-1": 404, "request-2": 400, "request-3": 400} == {
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
def test_invalid_batch_file_fails_with_the_line_of_each_problem(clock, client, submit, lines, code, number):
    batch = submit(*lines)
    assert "validating" == batch.status
    clock.advance(MINUTES)
    failed = client.batches.retrieve(batch.id)
    assert ("failed", FIRST + 60, (0, 0, 0)) == (failed.status, failed.failed_at, counts(failed))
    assert [(code, number)] == [(problem.code, problem.line) for problem in failed.errors.data]
    clock.advance(DAY)
    assert client.batches.retrieve(batch.id) == failed


def test_cancelled_batch_answers_nothing(clock, sim, client, submit, model, usage):
    batch = submit(line(0, model))
    clock.advance(2 * MINUTES)
    assert "cancelling" == client.batches.cancel(batch.id).status
    clock.advance(DAY)
    done = client.batches.retrieve(batch.id)
    assert ("cancelled", FIRST + 120, FIRST + 180) == (done.status, done.cancelling_at, done.cancelled_at)
    assert (None, None) == (done.output_file_id, done.completed_at)
    assert ([], None) == (usage(), sim.last_inference())
    with pytest.raises(openai.BadRequestError, match="'cancelled'"):
        client.batches.cancel(batch.id)


def test_batch_duration_sets_how_long_batches_take(clock, connect, submit):
    with Simulator(clock=clock, batch_duration=timedelta(0), models=[BASE]) as quick:
        client = connect(quick)
        batch = submit(line(0, client.models.list().data[-1].id), client=client)
        assert "completed" == client.batches.retrieve(batch.id).status
        assert clock() == quick.last_inference()
    for wrong in (timedelta(hours=25), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="batch_duration"):
            Simulator(batch_duration=wrong)
