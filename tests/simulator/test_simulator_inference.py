from __future__ import annotations

import openai
import pytest

from tests.support.constants import BASE, MESSAGES

TEXT = "This is a simulated answer."


def test_chat(client, model):
    """A chat is answered with canned text, the model's id, the clock's time and a usage that adds up."""
    completion = client.chat.completions.create(model=model, messages=MESSAGES)

    assert completion.choices[0].message.content == TEXT
    assert model == completion.model
    assert completion.choices[0].finish_reason == "stop"
    assert completion.created == 1785542400
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_chat_stream(client, model):
    """A streamed chat says the same, word by word, and then why it stopped."""
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True, n=2))

    for index in (0, 1):
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert "".join(choice.delta.content or "" for choice in choices) == TEXT
        assert choices[0].delta.role == "assistant"
        assert choices[-1].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_chat_stream_with_usage(client, model):
    """The usage comes last and alone, when it was asked for."""
    *chunks, last = client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )

    assert last.choices == []
    assert last.usage.completion_tokens == len(chunks) - 2


def test_the_cap_on_tokens_is_kept(client, model):
    """An answer longer than allowed is cut off and says so; this is what a keep-alive call gets."""
    completion = client.chat.completions.create(model=model, messages=MESSAGES, max_completion_tokens=1)

    assert completion.choices[0].message.content == "This"
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 1
    assert (
        client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1).usage.completion_tokens
        == 1
    )


def test_response(client, model):
    """A response carries one finished message."""
    response = client.responses.create(model=model, input="hello", max_output_tokens=16)

    assert response.output_text == TEXT
    assert response.status == "completed"
    assert model == response.model
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_response_stream(client, model):
    """A streamed response tells its whole course, numbered without gaps."""
    events = list(client.responses.create(model=model, input="hello", stream=True))

    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[-1].response.output_text == TEXT
    # The oldest supported SDK does not know the number, but keeps what it does not know.
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_an_incomplete_response(client, model):
    """A response that hits its cap is incomplete, and ends its stream so."""
    words = {"type": "json_schema", "name": "long", "schema": {"const": "word " * 40}}
    asked = {"model": model, "input": "hello", "max_output_tokens": 16, "text": {"format": words}}

    response = client.responses.create(**asked)
    *_, last = client.responses.create(**asked, stream=True)

    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert last.type == "response.incomplete"


def test_completion(sim, connect, client):
    """The models from before chats complete prompts, streamed or not."""
    older = sim.add_model(base="babbage-002")

    completion = client.completions.create(model=older, prompt="hello")
    # As on the real API, only the last chunk has a finish_reason, which the SDK's types don't foresee.
    relaxed = connect(sim, _strict_response_validation=False)
    chunks = list(relaxed.completions.create(model=older, prompt="hello", stream=True))

    assert completion.choices[0].text == TEXT
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_embeddings(sim, connect, client):
    """Each input has its embedding, in either encoding."""
    asked = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 4}
    plain = client.embeddings.create(**asked, encoding_format="float")
    # The SDK asks for base64 by default, and its own strict validation refuses what it asked for.
    packed = connect(sim, _strict_response_validation=False).embeddings.create(**asked)

    assert [item.embedding for item in plain.data] == [[1, 0, 0, 0]] * 2
    assert [list(item.embedding) for item in packed.data] == [[1, 0, 0, 0]] * 2


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", {"messages": MESSAGES}, None),
        ("/chat/completions", {"model": BASE, "messages": MESSAGES, "n": "two"}, "n"),
        ("/responses", {"model": BASE, "input": "x", "max_output_tokens": 15}, "max_output_tokens"),
        (
            "/chat/completions",
            {"model": "o4-mini-2025-04-16", "messages": MESSAGES, "max_tokens": 1},
            "max_tokens",
        ),
    ],
)
def test_wrong_requests_are_refused(client, path, body, param):
    """A wrong request is a 400 that names the parameter, and never an inference."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(path, body=body, cast_to=object)

    assert param == caught.value.param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "base", "body"),
    [
        ("/chat/completions", "davinci:ft-acme-2022-12-22-07-26-01", {"messages": MESSAGES}),
        ("/completions", BASE, {"prompt": "hello"}),
    ],
)
def test_models_answer_only_where_they_belong(sim, client, path, base, body):
    """A chat model does not complete prompts, and a completion model does not chat."""
    misplaced = sim.add_model(base=base)

    with pytest.raises(openai.NotFoundError):
        client.post(path, body={"model": misplaced, **body}, cast_to=object)

    assert sim.last_inference() is None
