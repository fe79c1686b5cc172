"""Which responses of fine-tuned models count as inferences, for every way to make a call."""

from __future__ import annotations

import json
import types

import openai
import pytest

from finetune_guard import Source
from finetune_guard.simulator import Fault
from tests.client.flavours import HTTP, done, every, listed
from tests.client.scenarios import cast_to_object, chat, chat_stream, completions, needs, responses_stream
from tests.client.scenarios import streaming_response_unread as unread
from tests.support.constants import BASE, FINE_TUNED, MESSAGES, START

pytestmark = pytest.mark.anyio

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ALIAS = "support"
HTML, SSE = {"content-type": "text/html"}, {"content-type": "text/event-stream"}
ENDED = {"id": "resp_1", "object": "response", "status": "completed", "model": FINE_TUNED, "output": [{}]}
ENDED["created_at"] = int(START.timestamp()) - 600
EMPTY = {**ENDED, "output": []}
ANSWERED = {"id": "c", "object": "chat.completion", "model": FINE_TUNED, "created": 1}
ANSWERED["choices"] = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}]
CHUNK = {**ANSWERED, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "a"}}]}


def events(*bodies, end="data: [DONE]\n\n"):
    return "".join(f"data: {json.dumps(body)}\n\n" for body in bodies) + end


def begun(model=FINE_TUNED, kind="response.created"):
    return {"type": kind, "response": {**EMPTY, "model": model, "status": "in_progress"}}


DELTA = {"type": "response.output_text.delta", "delta": "a", "item_id": "msg_1", "sequence_number": 1}
COMPLETED = {"type": "response.completed", "response": ENDED}
GOING_ON = begun(kind="response.in_progress")
FAILED = {"type": "response.failed", "response": {**EMPTY, "status": "failed"}}


# Ways to ask that no scenario has; each leads the answer to its end.


async def chat_raw(client, model):
    return await done(client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES))


async def chat_text(client, model):
    body = {"model": model, "messages": MESSAGES}
    return await done(client.post("/chat/completions", body=body, cast_to=str))


async def respond(client, model):
    named = {"prompt": {"id": "pmpt_1"}} if model is None else {"model": model}
    return await done(needs(client, "responses").create(input="hello", **named))


async def respond_raw(client, model):
    return await done(needs(client, "responses").with_raw_response.create(model=model, input="hello"))


DONE = (
    (CHAT, ANSWERED, {}, FINE_TUNED, chat),
    (CHAT, ANSWERED, {}, FINE_TUNED, chat_raw),
    (CHAT, ANSWERED, {}, FINE_TUNED, unread),
    (CHAT, ANSWERED, {}, FINE_TUNED, cast_to_object),
    (CHAT, ANSWERED, {}, FINE_TUNED, chat_text),
    (CHAT, {**ANSWERED, "model": f"openai/{FINE_TUNED}"}, {}, f"openai/{FINE_TUNED}", chat),
    (CHAT, {**ANSWERED, "model": None}, {}, FINE_TUNED, chat),
    (CHAT, ANSWERED, {}, ALIAS, chat),
    (CHAT, ANSWERED, {}, ALIAS, chat_raw),
    (CHAT, ANSWERED, {}, ALIAS, cast_to_object),
    (CHAT, events(CHUNK, CHUNK), SSE, FINE_TUNED, chat_stream),
    (CHAT, events(CHUNK, CHUNK), SSE, ALIAS, chat_stream),
    (CHAT, events({**CHUNK, "choices": []}, CHUNK), SSE, FINE_TUNED, chat_stream),
    (RESPONSES, ENDED, {}, FINE_TUNED, respond),
    (RESPONSES, ENDED, {}, ALIAS, respond_raw),
    (RESPONSES, ENDED, {}, None, respond),
    (RESPONSES, {**ENDED, "status": "incomplete"}, {}, FINE_TUNED, respond),
    (RESPONSES, events(begun(), DELTA, DELTA), SSE, FINE_TUNED, responses_stream),
    (RESPONSES, events(begun(), COMPLETED), SSE, ALIAS, responses_stream),
)

NOTHING = (
    (CHAT, {"error": {"message": "overloaded", "code": 529}}, {}, FINE_TUNED, chat),
    (CHAT, {"error": {"message": "overloaded", "code": 529}}, {}, FINE_TUNED, cast_to_object),
    (CHAT, "<html>Sign in to the hotel's wifi</html>", HTML, FINE_TUNED, chat),
    (CHAT, "<html>Sign in to the hotel's wifi</html>", HTML, FINE_TUNED, unread),
    (CHAT, "<html>Sign in to the hotel's wifi</html>", HTML, FINE_TUNED, chat_text),
    (CHAT, {**ANSWERED, "model": BASE}, {}, FINE_TUNED, chat),
    (CHAT, {**ANSWERED, "model": BASE}, {}, FINE_TUNED, chat_raw),
    (CHAT, {**ANSWERED, "model": ALIAS}, {}, ALIAS, chat_raw),
    (CHAT, {**ANSWERED, "choices": []}, {}, FINE_TUNED, chat),
    (CHAT, ANSWERED, {}, ALIAS, unread),
    (CHAT, events(), SSE, FINE_TUNED, chat_stream),
    (CHAT, events({**CHUNK, "model": BASE}, CHUNK), SSE, FINE_TUNED, chat_stream),
    (CHAT, events({**CHUNK, "choices": []}, end=""), SSE, FINE_TUNED, chat_stream),
    (RESPONSES, {**EMPTY, "status": "failed"}, {}, FINE_TUNED, respond),
    (RESPONSES, {**EMPTY, "status": "incomplete"}, {}, FINE_TUNED, respond),
    (RESPONSES, {**EMPTY, "status": "in_progress"}, {}, FINE_TUNED, respond),
    (RESPONSES, {**EMPTY, "status": "in_progress"}, {}, FINE_TUNED, respond_raw),
    (RESPONSES, {**ENDED, "model": BASE}, {}, None, respond),
    (RESPONSES, events(begun(), FAILED), SSE, FINE_TUNED, responses_stream),
    (RESPONSES, events(begun(), GOING_ON, end=""), SSE, FINE_TUNED, responses_stream),
    (RESPONSES, events(begun(BASE), DELTA), SSE, FINE_TUNED, responses_stream),
)


@pytest.mark.parametrize(
    ("path", "body", "headers", "model", "ask", "counted"),
    [(*row, True) for row in DONE] + [(*row, False) for row in NOTHING],
)
async def test_only_a_completion_of_a_fine_tuned_model_counts(
    client, bare, sim, path, body, headers, model, ask, counted
):
    """Whatever comes with a 2xx, the program gets the SDK's own result."""
    models = []
    for each_client in (bare, client):
        sim.fault(Fault(path=path, status=200, body=body, headers=headers))
        try:
            answer = await ask(each_client, model)
        except Exception as error:  # noqa: BLE001 -- whatever it is, both clients end so
            answer = str(error)
        models.append((type(answer), getattr(answer, "text", None) or str(answer)))
    assert not callable(models[0][1])
    if ask not in {chat_raw, respond_raw}:
        assert models[0] == models[1]
    history = await done(client.guard.history())
    expected = {FINE_TUNED: Source.OBSERVED} if counted else {}
    assert expected == {name: last.source for name, last in history.models.items()}
    assert [1] * counted == [sum(day.values()) for day in history.daily.values()]


async def test_stream_cut_before_its_first_completion_does_not_count(client, sim, model):
    for cut_after, count in ((0, 0), (1, 1)):
        sim.fault(Fault(path=CHAT, cut_after=cut_after))
        with pytest.raises((openai.APIError, HTTP.HTTPError)):
            await chat_stream(client, model)
        assert count == len((await done(client.guard.history())).models)


@pytest.mark.parametrize("streamed", ["not", "as JSON", "as objects"])
async def test_background_response_counts_once_when_completed(client, sim, streamed):
    retrieve = needs(client, "responses").retrieve
    queued, path = {**EMPTY, "status": "queued", "background": True}, f"{RESPONSES}/resp_1"
    sim.fault(Fault(path=RESPONSES, status=200, body=queued))
    await done(client.responses.create(model=FINE_TUNED, input="hello", background=True))
    for body, count in ((queued, 0), ({**queued, "status": "in_progress"}, 0), (ENDED, 1), (ENDED, 1)):
        if streamed != "not":
            kind = "response.completed" if body is ENDED else "response.in_progress"
            sent = events(begun(), {"type": kind, "response": body})
            sim.fault(Fault(method="GET", path=path, status=200, body=sent, headers=SSE))
            streaming = {"stream": True, "stream_cls": stream_class(client, streamed == "as objects")}
            url = "/responses/resp_1?stream=true"
            await listed(await done(client.get(url, cast_to=object, **streaming)))
        else:
            sim.fault(Fault(method="GET", path=path, status=200, body=body))
            assert body["status"] == (await done(retrieve("resp_1"))).status
        history = await done(client.guard.history())
        assert count == sum(sum(day.values()) for day in history.daily.values())
    assert ENDED["created_at"] == history.models[FINE_TUNED].at.timestamp()


def stream_class(client, of_objects):
    from openai.types import responses  # noqa: PLC0415 -- the oldest releases have none

    is_async = isinstance(client, openai.AsyncOpenAI)
    kind = responses.ResponseStreamEvent if of_objects else object
    return (openai.AsyncStream if is_async else openai.Stream)[kind]


async def test_completion_counts_although_parsing_it_raises(client, bare, model):
    parse = completions(client, "parse")
    with pytest.raises(openai.LengthFinishReasonError):
        await done(parse(model=model, messages=MESSAGES, max_tokens=1, response_format=Wordy))
    assert [model] == list((await done(client.guard.history())).models)


class Wordy(openai.BaseModel):
    why: str
    how: str
    where: str


async def test_stream_has_the_sdks_class_and_attributes(client, bare, model):
    closed = []
    for each_client in (bare, client):
        stream = await done(each_client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
        assert type(stream) in {openai.Stream, openai.AsyncStream}
        inner = stream._iterator
        is_async = isinstance(stream, openai.AsyncStream)
        assert not (inner.ag_running if is_async else inner.gi_running)
        assert hasattr(inner, "asend" if is_async else "send")
        assert not stream.response.is_stream_consumed
        async for _ in every(stream):
            break
        await done(inner.aclose() if is_async else inner.close())
        closed.append(stream.response.is_closed)  # not in every release
        await done(stream.close())
        assert stream.response.is_closed
    assert closed[0] == closed[1]


class MockResponse:
    """What a program's own tests may put in a response's place: headers in a plain dict, and little else."""

    def __init__(self, flavour, headers):
        self.headers, self.status_code, self.reason_phrase = headers, 200, "OK"
        self.request = types.SimpleNamespace(headers={})
        self.read = self.aread = flavour.returning(b"")

    def raise_for_status(self):
        return self

    def json(self):
        return ANSWERED


class UnlistableHeaders(dict):
    """Headers that can't be listed."""

    def items(self):
        raise RuntimeError("no")


@pytest.fixture
def mocked(flavour, closing, configured, monkeypatch):
    """Makes clients whose HTTP library gives a mock's answer."""

    def make(standing):
        http_client, send = flavour.http_client(), flavour.returning(standing)
        monkeypatch.setattr(http_client, "send", lambda *_args, **_options: send())
        guard = configured(hosts=["api.openai.com"])
        return closing(flavour.guarded(api_key="sk-test", http_client=http_client, guard=guard))

    return make


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json"}, {}], ids=["headers", "none"])
async def test_mocked_response_passes_without_a_log_line(flavour, mocked, caplog, headers):
    client = mocked(MockResponse(flavour, headers))
    assert FINE_TUNED == (await chat(client, FINE_TUNED)).model
    assert [FINE_TUNED] == list((await done(client.guard.history())).models)
    assert not [record for record in caplog.records if record.name.startswith("finetune_guard")]


async def test_failure_of_the_guard_leaves_the_answer_and_is_logged_once(flavour, mocked, caplog):
    standing = MockResponse(flavour, {})
    standing.request.headers = UnlistableHeaders()
    client = mocked(standing)
    for _ in range(2):
        assert FINE_TUNED == (await chat(client, FINE_TUNED)).model
    messages = [record.message for record in caplog.records if record.name.startswith("finetune_guard")]
    assert ["finetune-guard failed; calls go on without it"] == [text[:45] for text in messages]
