"""What the simulated models say: canned text, or the smallest value that a JSON schema allows.

Prompts are looked at for their length only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import ceil, floor
from typing import Any, NamedTuple

from finetune_guard.simulator.answers import invalid

TEXT = "This is a simulated answer."
_DEEPEST = 12
_LONGEST = 10_000  # a schema that asks for more gets an invalid value, not all of the memory
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


class Said(NamedTuple):
    """What a model says: words, or the arguments of the function that it was told to call.

    Attributes:
        tokens: The text, cut into tokens.
        whole: Whether that is all of it.
        function: The function's name; None for words.
    """

    tokens: list[str]
    whole: bool
    function: str | None = None

    @property
    def text(self) -> str:
        """The tokens together."""
        return "".join(self.tokens)


def tokens_in(prompt: Any) -> int:
    """Return a rough number of tokens in any JSON value: one for four characters."""
    return len(prompt if isinstance(prompt, str) else json.dumps(prompt)) // 4 + 1


def cut(text: str, most: int | None, function: str | None = None) -> Said:
    """Cut ``text`` into tokens, at most so many."""
    tokens = re.findall(r"\s*\S{1,8}|\s+", text)
    return Said(tokens[:most], most is None or len(tokens) <= most, function)


def said_to(body: Mapping[str, Any], most: int | None, response_format: Any, param: str) -> Said:
    """Return what a model says to a chat or a response, whose format ``param`` gives.

    Raises:
        ApiError: 400; the schema of the format or of a function can't be understood.
    """
    function = _forced_function(body.get("tools"), body.get("tool_choice"))
    if function is not None:
        schema = function.get("parameters") or {"type": "object"}
        return cut(_fitting(schema, "tools"), most, str(function.get("name")))
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "json_object":
        return cut(json.dumps({"answer": TEXT}), most)
    if kind == "json_schema":
        holder = response_format.get("json_schema", response_format)
        schema = holder.get("schema") if isinstance(holder, Mapping) else None
        return cut(_fitting(schema or {}, param), most)
    return cut(TEXT, most)


def _forced_function(tools: Any, choice: Any) -> Mapping[str, Any] | None:
    """Return the function (name, parameters) that ``tool_choice`` leaves no way around, if any.

    Chat wraps a function in a ``function`` object and responses do not; both are understood. A
    model that may choose talks instead.
    """
    wrapped = [
        tool.get("function", tool)
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, Mapping) and tool.get("type") == "function"
    ]
    functions = [function for function in wrapped if isinstance(function, Mapping)]
    if choice == "required":
        return functions[0] if functions else None
    named = choice.get("function", choice) if isinstance(choice, Mapping) else None
    name = named.get("name") if isinstance(named, Mapping) else None
    return next((function for function in functions if name and function.get("name") == name), None)


def _fitting(schema: Any, param: str) -> str:
    try:
        return json.dumps(instance_of(schema))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise invalid(param, "the schema can't be understood") from None


def instance_of(schema: Any) -> Any:
    """Return a small value that is valid under ``schema``, as structured output accepts them."""
    return _Maker(schema).make(schema, 0)


class _Maker:
    """Makes values for the parts of one schema; ``$ref`` is looked up in its root."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def make(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        if part := self._delegate(schema, depth):
            return self.make(part, depth + 1)
        return self._of_type(schema, depth)

    def _delegate(self, schema: Mapping[str, Any], depth: int) -> Any:
        """Return the schema that decides in this one's place, if there is one."""
        if reference := schema.get("$ref"):
            return self._resolve(reference)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            # Only null can end a type that contains itself.
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
            number = min(int(schema.get("minItems", 0)), _LONGEST)
            return fixed or [self.make(schema.get("items"), depth + 1)] * number
        if kind == "string":
            text = _BY_FORMAT.get(str(schema.get("format")), "simulated")
            return text.ljust(min(int(schema.get("minLength", 0)), _LONGEST), "x")[: schema.get("maxLength")]
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer")
        return False if kind == "boolean" else None


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    steps = 0
    if "minimum" in schema:
        steps = ceil(schema["minimum"] / step)
    elif "exclusiveMinimum" in schema:
        steps = floor(schema["exclusiveMinimum"] / step) + 1
    elif "maximum" in schema:
        steps = min(0, floor(schema["maximum"] / step))
    elif "exclusiveMaximum" in schema:
        steps = min(0, ceil(schema["exclusiveMaximum"] / step) - 1)
    return int(steps * step) if whole else float(steps * step)
