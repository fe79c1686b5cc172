"""What the simulated models say: canned text, or the smallest value that a JSON schema allows.

Prompts are looked at for their length only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from finetune_guard.simulator.answers import invalid
from finetune_guard.simulator.instances import instance_of

TEXT = "This is a simulated answer."


def tokens_in(prompt: Any) -> int:
    """Return a rough number of tokens in any JSON value: one for four characters."""
    return len(prompt if isinstance(prompt, str) else json.dumps(prompt)) // 4 + 1


def pieces(text: str, most: int | None) -> tuple[list[str], bool]:
    """Cut ``text`` into tokens, at most so many; return them and whether that was all of it."""
    tokens = re.findall(r"\s*\S{1,8}|\s+", text)
    return tokens[:most], most is None or len(tokens) <= most


def text_for(response_format: Any, param: str) -> str:
    """Return what a model says under a ``response_format`` (chat) or ``text.format`` (responses).

    Raises:
        ApiError: 400; the format's schema can't be understood.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "json_object":
        return json.dumps({"answer": TEXT})
    if kind == "json_schema":
        holder = response_format.get("json_schema", response_format)
        schema = holder.get("schema") if isinstance(holder, Mapping) else None
        return _fitting(schema or {}, param)
    return TEXT


def forced_function(tools: Any, choice: Any) -> Mapping[str, Any] | None:
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


def arguments_for(function: Mapping[str, Any]) -> str:
    """Return the arguments of a call of ``function``, as JSON.

    Raises:
        ApiError: 400; the function's schema can't be understood.
    """
    return _fitting(function.get("parameters") or {"type": "object"}, "tools")


def _fitting(schema: Any, param: str) -> str:
    try:
        return json.dumps(instance_of(schema))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise invalid(param, "the schema can't be understood") from None
