from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from finetune_guard.simulator.canned import instance_of
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


@pytest.mark.parametrize("shape", [Thing, Part, Node])
def test_values_fit_their_schema(shape):
    """What the simulator makes up for a schema is valid for the class that the schema came from."""
    assert shape.model_validate(instance_of(shape.model_json_schema()))


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
