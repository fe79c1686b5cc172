"""Hostile answers on their way through a client: the program gets what the SDK alone would give it."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from datetime import datetime, timezone

import openai
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import finetune_guard
from finetune_guard import FineTuneGuardError, GuardConfig, KeepAlive
from finetune_guard.stores.memory import MemoryStore
from tests.hostile.hostile_values import (
    BATCHES,
    FORGERIES,
    JOBS,
    LISTED_MODELS,
    TEXTS,
    deep,
    lists_of,
    usage_pages,
)
from tests.hostile.promises_of_stores import is_clean
from tests.support.constants import BASE, MESSAGES
from tests.support.http import HTTP

pytestmark = pytest.mark.filterwarnings("ignore::finetune_guard.FineTuneGuardWarning")

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_780_000_000,
    "model": MODEL,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}
JOB = {"id": "ftjob-1", "object": "fine_tuning.job", "created_at": 1_780_000_000, "model": BASE}

CALLS = {
    "chat": lambda client: client.chat.completions.create(model=MODEL, messages=MESSAGES),
    "long model": lambda client: client.chat.completions.create(
        model="ft:" + "x" * 100_000, messages=MESSAGES
    ),
    "raw": lambda client: client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES),
    "stream": lambda client: client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True),
    "response": lambda client: client.responses.create(model=MODEL, input="hello"),
    "models": lambda client: client.models.list(),
    "jobs": lambda client: client.fine_tuning.jobs.list(),
    "batches": lambda client: client.batches.list(),
    "batch": lambda client: client.batches.retrieve("batch_1"),
}
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["date", "openai-organization", "openai-project", "retry-after", "x-request-id"]),
        (TEXTS | st.sampled_from(["x" * 1_000_000, "acme", "Fri, 31 Dec 9999 23:59:59 GMT", "1e400"])).map(
            lambda text: text.encode("utf-8", "replace")
        ),
    ),
    max_size=4,
)
RAW = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"NaN",
    b"1e400",
    b"9" * 5_000,
    deep().encode(),
    b'{"data":' + deep().encode() + b"}",
    b'data: {"x": "\x1b[2J"}\n\ndata: [DONE]\n\n',
]
BODIES = (
    lists_of(BATCHES | JOBS | LISTED_MODELS).map(lambda value: json.dumps(value).encode())
    | TEXTS.map(lambda text: json.dumps({**ANSWER, "id": text}).encode())
    | st.sampled_from([*RAW, json.dumps(ANSWER).encode()])
)
STATUSES = st.sampled_from([200, 200, 200, 201, 400, 401, 403, 404, 429, 500])


class Pair:
    """A client of the SDK's and a guarded one, in front of a server whose answers are set from outside."""

    def __init__(self, module, **config):
        self.status, self.headers, self.body, self.others = 200, [], b"", None
        self.store, self.loop = MemoryStore(), asyncio.new_event_loop()
        is_async = module.__name__.startswith("Async")
        transport = HTTP.MockTransport(self._later if is_async else self._answer)
        options = {"api_key": "sk-test", "max_retries": 0}
        options["http_client"] = (HTTP.AsyncClient if is_async else HTTP.Client)(transport=transport)
        guard = GuardConfig(store=self.store, clock=lambda: NOW, **config)
        self.bare, self.guarded = (
            module(**options),
            getattr(finetune_guard, module.__name__)(guard=guard, **options),
        )

    def _answer(self, request):
        others = self.others is not None and request.method == "GET"
        body = self.others(request) if others else self.body
        headers = [("content-type", b"application/json"), *self.headers]
        return HTTP.Response(self.status, headers=headers, content=body, request=request)

    async def _later(self, request):
        return self._answer(request)

    def outcome(self, client, call):
        """What a program gets: the answer, or the error, in every detail that it could look at."""
        return self.loop.run_until_complete(_outcome(client, call))

    def close(self):
        self.outcome(self.guarded, lambda client: client.close())
        self.loop.close()


async def _outcome(client, call):
    try:
        got = call(client)
        got = await got if inspect.isawaitable(got) else got
        if isinstance(got, openai.AsyncStream):
            got = [item async for item in got]
        elif isinstance(got, openai.Stream):
            got = list(got)
    except (openai.OpenAIError, RecursionError, TypeError, ValueError, AttributeError, KeyError) as error:
        message = str(error) if isinstance(error, openai.OpenAIError) else ""
        return type(error), message, repr(getattr(error, "body", None))
    content = getattr(got, "content", None)
    if isinstance(content, bytes) or not hasattr(got, "__dict__"):
        return type(got).__name__, repr(content if isinstance(content, bytes) else got)
    # A page knows by which client it was got, and that is another one.
    named = {name: value for name, value in vars(got).items() if name not in {"_client", "_options"}}
    return type(got).__name__, repr(named)


def pair_of(request, **config):
    pair = Pair(request.param, **config)
    yield pair
    pair.close()


@pytest.fixture(scope="module", params=[openai.OpenAI, openai.AsyncOpenAI])
def pair(request):
    yield from pair_of(request)


@pytest.fixture(scope="module", params=[openai.OpenAI, openai.AsyncOpenAI])
def asking(request):
    """Clients that ask whatever can be asked before a job is created."""
    yield from pair_of(
        request, keep_alive=KeepAlive(deadline="2s"), admin_api_key="sk-admin", on_unknown="allow"
    )


@pytest.fixture
def log_records():
    """Every record of our loggers."""
    records, handler = [], logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("finetune_guard")
    level, _ = logger.level, logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.setLevel(level)
    logger.removeHandler(handler)


MANY = settings(
    max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("call", CALLS)
@MANY
@given(status=STATUSES, headers=HEADERS, body=BODIES)
@example(status=200, headers=[], body=deep().encode())
@example(status=200, headers=[("openai-organization", b"x" * 1_000_000)], body=json.dumps(ANSWER).encode())
def test_hostile_answer_equals_the_sdks_result(pair, log_records, call, status, headers, body):
    pair.status, pair.headers, pair.body = status, headers, body
    expected = pair.outcome(pair.bare, CALLS[call])
    assert expected == pair.outcome(pair.guarded, CALLS[call])
    assert all(is_clean(record.getMessage()) for record in log_records)
    assert not [record for record in log_records if record.levelno >= logging.WARNING]


@MANY
@given(
    headers=HEADERS,
    bodies=st.lists(BODIES | usage_pages(1_785_000_000).map(json.dumps), min_size=1, max_size=3),
)
@example(headers=[], bodies=[deep().encode()])
@example(headers=[], bodies=[b'{"object":"list","data":[{"id":"\\ud800"}],"has_more":true}'])
@example(headers=[], bodies=[b'{"data":[{"id":"' + b"x" * 100_000 + b'"}],"has_more":true}'])
def test_hostile_answers_before_a_job_create_it_or_raise_our_error(asking, log_records, headers, bodies):
    counter = iter(range(10**9))
    asking.status, asking.headers, asking.body = 200, headers, json.dumps(JOB).encode()
    asking.others = lambda _: bodies[next(counter) % len(bodies)]

    def create(client):
        return client.fine_tuning.jobs.create(model=BASE, training_file="file-1")

    expected, got = asking.outcome(asking.bare, create), asking.outcome(asking.guarded, create)
    if isinstance(got[0], type) and issubclass(got[0], FineTuneGuardError):
        assert all(map(is_clean, got[1].split("\n")))
    else:
        assert expected == got
    assert all(all(map(is_clean, record.getMessage().split("\n"))) for record in log_records)
    assert not [record for record in log_records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_error_code_forges_no_line(asking, log_records, forgery):
    asking.status, asking.headers, asking.others = 400, [], None
    asking.body = json.dumps({"error": {"code": f"a{forgery}b", "message": f"a{forgery}b"}}).encode()
    got = asking.outcome(asking.guarded, lambda client: client.guard.keep_alive(force=True, model=MODEL))
    assert FineTuneGuardError in got[0].__mro__
    assert all(map(is_clean, got[1].split("\n")))
    assert all(is_clean(record.getMessage()) for record in log_records)


def test_history_after_hostile_answers_is_bounded(pair):
    pair.guarded.guard  # noqa: B018 -- whatever was seen was seen by it
    flushed = pair.outcome(pair.guarded, lambda client: client.guard.flush())
    assert "NoneType" == flushed[0]
    for organization in pair.store.organizations():
        assert is_clean(organization)
        assert 128 >= len(organization)
        assert all(512 >= len(model) for model in pair.store.history(organization).models)
