from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from finetune_guard.simulator.canned import example_of
from tests.support.constants import BASE, MESSAGES, START

TEXT = "This is a simulated answer."


def test_chat_completion(client, model):
    completion = client.chat.completions.create(model=model, messages=MESSAGES)
    (choice,), usage = completion.choices, completion.usage
    assert (TEXT, "stop") == (choice.message.content, choice.finish_reason)
    assert (model, START.timestamp()) == (completion.model, completion.created)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_chat_stream_has_text_finish_reason_and_usage(client, model):
    request = {"model": model, "messages": MESSAGES, "stream": True, "n": 2}
    chunks = list(client.chat.completions.create(**request))
    for index in (0, 1):
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert TEXT == "".join(choice.delta.content or "" for choice in choices)
        assert ("assistant", "stop") == (choices[0].delta.role, choices[-1].finish_reason)
    assert {None} == {chunk.usage for chunk in chunks}
    *_, last = client.chat.completions.create(**request, stream_options={"include_usage": True})
    assert ([], len(chunks) - 4) == (last.choices, last.usage.completion_tokens)


@pytest.mark.parametrize("cap", ["max_completion_tokens", "max_tokens"])
def test_token_limit_cuts_the_answer(client, model, cap):
    completion = client.chat.completions.create(model=model, messages=MESSAGES, **{cap: 1})
    (choice,) = completion.choices
    assert ("This", "length") == (choice.message.content, choice.finish_reason)
    assert 1 == completion.usage.completion_tokens


def test_response_and_its_stream(client, model):
    request = {"model": model, "input": "hello", "max_output_tokens": 16}
    response = client.responses.create(**request)
    assert (TEXT, "completed", model) == (response.output_text, response.status, response.model)
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    events = list(client.responses.create(**request, stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * kinds.count("output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ] == kinds
    assert TEXT == events[-1].response.output_text
    # The oldest supported SDK does not know the number, but keeps what it does not know.
    assert list(range(len(events))) == [event.sequence_number for event in events]


def test_response_at_the_token_limit_is_incomplete(client, model):
    words = {"type": "json_schema", "name": "long", "schema": {"const": "word " * 40}}
    request = {"model": model, "input": "hello", "max_output_tokens": 16, "text": {"format": words}}
    response = client.responses.create(**request)
    *_, last = client.responses.create(**request, stream=True)
    assert ("incomplete", "max_output_tokens") == (response.status, response.incomplete_details.reason)
    assert "response.incomplete" == last.type


def test_completion_streamed_or_not(sim, connect, client):
    request = {"model": sim.add_model(base="babbage-002"), "prompt": "hello"}
    completion = client.completions.create(**request)
    # As on the real API, only the last chunk has a finish_reason, which the SDK's types don't foresee.
    chunks = list(connect(sim, _strict_response_validation=False).completions.create(**request, stream=True))
    assert (TEXT, TEXT) == (completion.choices[0].text, "".join(chunk.choices[0].text for chunk in chunks))
    assert "stop" == chunks[-1].choices[0].finish_reason


def test_each_input_has_its_embedding(sim, connect, client):
    request = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 4}
    plain = client.embeddings.create(**request, encoding_format="float")
    # The SDK asks for base64 by default, and its own strict validation refuses what it asked for.
    packed = connect(sim, _strict_response_validation=False).embeddings.create(**request)
    for answer in (plain, packed):
        assert [[1, 0, 0, 0]] * 2 == [list(item.embedding) for item in answer.data]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/chat/completions", {"messages": MESSAGES}, None),
        ("/chat/completions", {"model": BASE, "messages": MESSAGES, "n": "two"}, "n"),
        ("/responses", {"model": BASE, "input": "x", "max_output_tokens": 15}, "max_output_tokens"),
        ("/chat/completions", {"model": "o4-mini", "messages": MESSAGES, "max_tokens": 1}, "max_tokens"),
    ],
)
def test_wrong_request_names_the_parameter_and_is_no_inference(client, path, body, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(path, body=body, cast_to=object)
    assert (param, "invalid_request_error") == (caught.value.param, caught.value.type)


@pytest.mark.parametrize(
    ("path", "base", "body"),
    [
        ("/chat/completions", "davinci:ft-acme-2022-12-22-07-26-01", {"messages": MESSAGES}),
        ("/completions", BASE, {"prompt": "hello"}),
    ],
)
def test_model_answers_only_on_its_own_endpoint(sim, client, path, base, body):
    with pytest.raises(openai.NotFoundError):
        client.post(path, body={"model": sim.add_model(base=base), **body}, cast_to=object)
    assert sim.last_inference() is None


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    colour: Colour
    parts: list[Part] = []


class Thing(BaseModel):
    kind: Literal["thing"]
    size: Annotated[int, Field(ge=3, le=5)]
    weight: Annotated[float, Field(gt=1.5)]
    even: Annotated[int, Field(multiple_of=2, gt=10)]
    below: Annotated[int, Field(lt=-3)]
    label: Annotated[str, Field(min_length=12, max_length=12)]
    some: Annotated[list[Part], Field(min_length=2)]
    pair: tuple[int, bool]
    either: Part | int
    maybe: str | None


class Node(BaseModel):
    value: int
    next: Node | None


@pytest.mark.parametrize("shape", [Thing, Part, Node])
def test_generated_value_fits_the_json_schema(shape):
    assert shape.model_validate(example_of(shape.model_json_schema()))


PARAMETERS = {**Part.model_json_schema(), "required": ["name", "colour", "parts"]}
TOOL = {"name": "describe", "description": "Describes a part.", "parameters": PARAMETERS}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "describe"}}])
def test_chat_calls_a_required_function(client, model, choice):
    tools = [{"type": "function", "function": TOOL}]
    request = {"model": model, "messages": MESSAGES, "tools": tools, "tool_choice": choice}
    call = client.chat.completions.create(**request).choices[0].message.tool_calls[0]
    streamed = [chunk.choices[0].delta for chunk in client.chat.completions.create(**request, stream=True)]
    deltas = [delta.tool_calls[0].function for delta in streamed if delta.tool_calls]
    assert ("describe", "describe") == (call.function.name, deltas[0].name)
    assert Part.model_validate_json(call.function.arguments)
    assert call.function.arguments == "".join(delta.arguments for delta in deltas)


def test_response_calls_a_required_function(client, model):
    choice, tools = {"type": "function", "name": "describe"}, [{"type": "function", "strict": False, **TOOL}]
    request = {"model": model, "input": "hello", "tools": tools, "tool_choice": choice}
    call = client.responses.create(**request).output[0]
    events = list(client.responses.create(**request, stream=True))
    assert "function_call" == call.type
    assert Part.model_validate_json(call.arguments)
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [call.arguments] == [event.arguments for event in done]
