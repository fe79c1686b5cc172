"""A guarded client sends the same bytes as the SDK's own client."""

from __future__ import annotations

import re

import openai
import pytest
from openai.types import FileObject

from finetune_guard import GuardConfig
from tests.client.flavours import done
from tests.support.constants import BASE, MESSAGES

pytestmark = pytest.mark.anyio

API = "https://api.openai.com/v1"
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
VARYING = re.compile(rb"stainless-python-retry-[0-9a-f-]+|--[0-9a-f]{32}|boundary=[0-9a-f]{32}")

CALLS = {
    "chat": lambda client: client.chat.completions.create(model=MODEL, messages=MESSAGES),
    "extra everything": lambda client: client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        extra_headers={"x-mine": "1", "User-Agent": "mine/1"},
        extra_query={"q": "1"},
        extra_body={"metadata": {"a": "b"}},
        timeout=12,
    ),
    "job": lambda client: client.fine_tuning.jobs.create(model=BASE, training_file="file-x", suffix="mine"),
    "upload": lambda client: client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune"),
    "absolute post": lambda client: client.post(f"{API}/files", body={"x": 1}, cast_to=FileObject),
    "raw": lambda client: client.models.with_raw_response.list(),
}


@pytest.fixture
def connect_wire(flavour, closing, clock):
    """Makes clients for the real host, which respx stands in for: guarded ones, or the SDK's own."""

    def make(*, guarded=True, **options):
        options = {"api_key": "sk-test", "max_retries": 0, **options}
        if guarded:
            options["guard"] = GuardConfig(store="memory", clock=clock, **options.pop("config", {}))
        return closing((flavour.guarded if guarded else flavour.bare)(**options))

    return make


def sent(wire):
    """The requests so far: all that was sent, but for what is random in it."""
    requests = []
    for call in wire.calls:
        request = call.request
        headers = [(name.lower(), VARYING.sub(b"*", value)) for name, value in request.headers.raw]
        requests.append((request.method, str(request.url), headers, VARYING.sub(b"*", request.content)))
    wire.calls.clear()
    return requests


def answer(wire, **headers):
    wire.route().respond(200, json={"id": "x", "object": "list", "data": []}, headers=headers)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "options",
    [
        {"organization": "org-mine", "project": "proj_mine", "default_headers": {"x-all": "1"}},
        {"default_query": {"q": "all"}, "max_retries": 3, "timeout": 7},
    ],
    ids=["headers", "query"],
)
async def test_requests_equal_the_sdks(connect_wire, wire, call, options):
    answer(wire)
    bare, guarded = connect_wire(guarded=False, **options), connect_wire(**options)
    await done(guarded.guard.record(MODEL))  # a job may be created
    await done(call(bare))
    expected = sent(wire)
    await done(call(guarded))
    assert expected == sent(wire)


@pytest.mark.parametrize(
    ("url", "guarded"),
    [
        ("/fine_tuning/jobs", True),
        ("fine_tuning/jobs/", True),
        ("https://eu.api.openai.com/v1/fine_tuning/jobs", True),
        ("https://gateway.example/v1/fine_tuning/jobs", False),
        ("https://api.openai.com.example/v1/fine_tuning/jobs", False),
        ("/fine_tuning/jobs/ftjob-1/cancel", False),
    ],
)
async def test_job_is_recognized_in_every_path_form(connect_wire, wire, url, guarded):
    answer(wire)
    client = connect_wire()
    posting = {"body": {"model": BASE}, "cast_to": object}
    if guarded:
        with pytest.raises(openai.OpenAIError, match="was not created"):
            await done(client.post(url, **posting))
    else:
        await done(client.post(url, **posting))
    assert guarded == all(call.request.method == "GET" for call in wire.calls)


@pytest.mark.parametrize("base_url", ["https://gateway.example/", "https://gateway.example:8443/v1"])
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
async def test_a_named_gateway_is_guarded(connect_wire, wire, base_url, absolute):
    answer(wire)
    client = connect_wire(base_url=base_url, config={"hosts": ["gateway.example"]})
    url = base_url.rstrip("/") + "/fine_tuning/jobs" if absolute else "/fine_tuning/jobs"
    with pytest.raises(openai.OpenAIError, match="was not created"):
        await done(client.post(url, body={"model": BASE}, cast_to=object))
    assert client.guard.active


async def test_other_hosts_are_left_alone(connect_wire, wire):
    answer(wire)
    client = connect_wire(base_url="https://api.together.xyz/v1")
    await done(client.chat.completions.create(model=MODEL, messages=MESSAGES))
    await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    await done(client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune"))
    assert 3 == len(wire.calls)
    assert {} == (await done(client.guard.history())).models
    assert not client.guard.active
    assert "not_guarded" == (await done(client.guard.check(refresh=True))).reason.value
    assert "not_guarded" == (await done(client.guard.keep_alive(force=True))).reason.value
    assert 3 == len(wire.calls)
