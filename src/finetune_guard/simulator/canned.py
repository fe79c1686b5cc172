"""The output of simulated models: fixed text, or a small value that fits a JSON schema.

Only the length of a prompt matters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import ceil, floor
from typing import Any, NamedTuple

from finetune_guard.simulator.answers import invalid

TEXT = "This is a simulated answer."
_MAX_DEPTH = 12
_MAX_LENGTH = 10_000  # a schema that requires more gets an invalid value
_RECURSION_SUSPECTED = 3
_BY_FORMAT = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class Output(NamedTuple):
    """The output of a model: text, or the arguments of a function call.

    Attributes:
        tokens: The text, split into tokens.
        is_complete: Whether the token limit cut nothing off.
        function: The function's name; None for text.
    """

    tokens: list[str]
    is_complete: bool
    function: str | None = None

    @property
    def text(self) -> str:
        """The tokens, joined."""
        return "".join(self.tokens)


def tokens_in(prompt: Any) -> int:
    """Return the approximate number of tokens in a JSON value: one per four characters."""
    return len(prompt if isinstance(prompt, str) else json.dumps(prompt)) // 4 + 1


def tokenize(text: str, max_tokens: int | None, function: str | None = None) -> Output:
    """Split ``text`` into tokens, at most ``max_tokens``."""
    tokens = re.findall(r"\s*\S{1,8}|\s+", text)
    return Output(tokens[:max_tokens], max_tokens is None or len(tokens) <= max_tokens, function)


def output_for(body: Mapping[str, Any], max_tokens: int | None, response_format: Any, param: str) -> Output:
    """Return a model's output for a chat completion or a response; ``param`` names the format in errors.

    Raises:
        ApiError: 400; the schema of the format or of a function can't be understood.
    """
    function = _required_function(body.get("tools"), body.get("tool_choice"))
    if function is not None:
        schema = function.get("parameters") or {"type": "object"}
        return tokenize(_example_json(schema, "tools"), max_tokens, str(function.get("name")))
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "json_object":
        return tokenize(json.dumps({"answer": TEXT}), max_tokens)
    if kind == "json_schema":
        holder = response_format.get("json_schema", response_format)
        schema = holder.get("schema") if isinstance(holder, Mapping) else None
        return tokenize(_example_json(schema or {}, param), max_tokens)
    return tokenize(TEXT, max_tokens)


def _required_function(tools: Any, choice: Any) -> Mapping[str, Any] | None:
    """Return the function (name, parameters) that ``tool_choice`` requires, if any.

    Chat completions wrap a function in a ``function`` object and responses do not; both are accepted.
    If the model may choose, it answers with text.
    """
    wrapped = [
        tool.get("function", tool)
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, Mapping) and tool.get("type") == "function"
    ]
    functions = [function for function in wrapped if isinstance(function, Mapping)]
    if choice == "required":
        return functions[0] if functions else None
    chosen = choice.get("function", choice) if isinstance(choice, Mapping) else None
    name = chosen.get("name") if isinstance(chosen, Mapping) else None
    return next((function for function in functions if name and function.get("name") == name), None)


def _example_json(schema: Any, param: str) -> str:
    try:
        return json.dumps(example_of(schema))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise invalid(param, "the schema can't be understood") from None


def example_of(schema: Any) -> Any:
    """Return a small value that fits ``schema``, a JSON schema as structured outputs accept it."""
    return _ExampleBuilder(schema).make(schema, 0)


class _ExampleBuilder:
    """Builds values for the parts of one schema; a ``$ref`` is resolved against its root."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def make(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        if part := self._subschema(schema, depth):
            return self.make(part, depth + 1)
        return self._of_type(schema, depth)

    def _subschema(self, schema: Mapping[str, Any], depth: int) -> Any:
        """Return the schema that this one refers to or combines, if any."""
        if reference := schema.get("$ref"):
            return self._resolve(reference)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            # Only null ends a recursive type.
            ends = [option for option in options if option.get("type") == "null"]
            return ends[0] if ends and depth > _RECURSION_SUSPECTED else options[0]
        if parts := schema.get("allOf"):
            found = [self._resolve(part["$ref"]) if "$ref" in part else part for part in parts]
            properties = {name: kind for part in found for name, kind in part.get("properties", {}).items()}
            required = [name for part in found for name in part.get("required", part.get("properties", ()))]
            merged = {key: value for part in found for key, value in part.items()}
            return {**merged, "properties": properties, "required": required} if properties else merged
        return None

    def _resolve(self, reference: str) -> Any:
        target = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step, {}) if step and isinstance(target, Mapping) else target
        return target

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0]
        if kind == "object":
            properties = schema.get("properties") or {}
            needed = schema.get("required", list(properties))
            return {name: self.make(properties.get(name, {}), depth + 1) for name in needed}
        if kind == "array":
            fixed = [self.make(item, depth + 1) for item in schema.get("prefixItems", ())]
            number = min(int(schema.get("minItems", 0)), _MAX_LENGTH)
            return fixed or [self.make(schema.get("items"), depth + 1)] * number
        if kind == "string":
            text = _BY_FORMAT.get(str(schema.get("format")), "simulated")
            return text.ljust(min(int(schema.get("minLength", 0)), _MAX_LENGTH), "x")[
                : schema.get("maxLength")
            ]
        if kind in {"integer", "number"}:
            return _number(schema, is_integer=kind == "integer")
        return False if kind == "boolean" else None


def _number(schema: Mapping[str, Any], *, is_integer: bool) -> float:
    step = schema.get("multipleOf") or (1 if is_integer else 0.5)
    steps = 0
    if "minimum" in schema:
        steps = ceil(schema["minimum"] / step)
    elif "exclusiveMinimum" in schema:
        steps = floor(schema["exclusiveMinimum"] / step) + 1
    elif "maximum" in schema:
        steps = min(0, floor(schema["maximum"] / step))
    elif "exclusiveMaximum" in schema:
        steps = min(0, ceil(schema["exclusiveMaximum"] / step) - 1)
    return int(steps * step) if is_integer else float(steps * step)
