from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from finetune_guard.simulator.instances import instance_of
from tests.support.constants import MESSAGES


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


TOOL = {
    "name": "describe",
    "description": "Describes a part.",
    "parameters": {**Part.model_json_schema(), "required": ["name", "colour", "parts"]},
}


def chats(client):
    """Where ``parse`` and ``stream`` are: the oldest supported SDK has them under ``beta``."""
    return (
        client.chat.completions if hasattr(client.chat.completions, "parse") else client.beta.chat.completions
    )


@pytest.mark.parametrize("shape", [Thing, Part, Node])
def test_values_fit_their_schema(shape):
    """What the simulator makes up for a schema is valid for the class that the schema came from."""
    assert shape.model_validate(instance_of(shape.model_json_schema()))


def test_merged_schemas():
    """A schema of several parts is answered with all of them."""
    parts = [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "null"}}}]

    assert instance_of({"type": "object", "allOf": parts}) == {"a": "simulated", "b": None}


def test_chat_parse(client, model):
    """``parse`` returns an object of the caller's class."""
    completion = chats(client).parse(model=model, messages=MESSAGES, response_format=Part)

    assert isinstance(completion.choices[0].message.parsed, Part)


def test_chat_stream_helper(client, model):
    """The ``stream`` helper of chats ends with the caller's object."""
    with chats(client).stream(model=model, messages=MESSAGES, response_format=Part) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    assert "content.done" in kinds
    assert isinstance(final.choices[0].message.parsed, Part)


def test_response_parse(client, model):
    """``parse`` of responses returns an object of the caller's class."""
    response = client.responses.parse(model=model, input="hello", text_format=Part)

    assert isinstance(response.output_parsed, Part)


def test_response_stream_helper(client, model):
    """The ``stream`` helper of responses ends with the caller's object."""
    if not hasattr(client.responses, "stream"):
        pytest.skip("this openai release has no such helper")
    with client.responses.stream(model=model, input="hello", text_format=Part) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert isinstance(final.output_parsed, Part)


def test_json_mode(client, model):
    """JSON mode answers with some JSON object."""
    completion = client.chat.completions.create(
        model=model, messages=MESSAGES, response_format={"type": "json_object"}
    )

    assert isinstance(json.loads(completion.choices[0].message.content), dict)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "describe"}}])
def test_a_forced_function_in_a_chat(client, model, choice):
    """A function that must be called is called, with arguments that fit; streamed as well."""
    asked = {
        "model": model,
        "messages": MESSAGES,
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": choice,
    }

    call = client.chat.completions.create(**asked).choices[0].message.tool_calls[0]
    streamed = client.chat.completions.create(**asked, stream=True)
    deltas = [chunk.choices[0].delta.tool_calls for chunk in streamed if chunk.choices[0].delta.tool_calls]

    assert call.function.name == "describe"
    assert Part.model_validate_json(call.function.arguments)
    assert call.function.arguments == "".join(delta[0].function.arguments for delta in deltas)
    assert deltas[0][0].function.name == "describe"


def test_a_forced_function_in_a_response(client, model):
    """Responses call a forced function too; streamed as well."""
    asked = {
        "model": model,
        "input": "hello",
        "tools": [{"type": "function", "strict": False, **TOOL}],
        "tool_choice": {"type": "function", "name": "describe"},
    }

    call = client.responses.create(**asked).output[0]
    events = list(client.responses.create(**asked, stream=True))

    assert call.type == "function_call"
    assert Part.model_validate_json(call.arguments)
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [call.arguments] == [event.arguments for event in done]


def test_a_model_with_a_choice_talks(client, model):
    """Tools that need not be called are not called."""
    completion = client.chat.completions.create(
        model=model, messages=MESSAGES, tools=[{"type": "function", "function": TOOL}]
    )

    assert completion.choices[0].message.tool_calls is None
