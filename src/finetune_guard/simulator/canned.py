"""What the simulated models say: canned text, or the smallest value that a JSON schema allows.

Prompts are looked at for their length only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

TEXT = "This is a simulated answer."
_DEEPEST = 12
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


def tokens_in(prompt: Any) -> int:
    """Return a rough number of tokens in any JSON value: one for four characters."""
    return len(prompt if isinstance(prompt, str) else json.dumps(prompt)) // 4 + 1


def pieces(text: str, most: int | None) -> tuple[list[str], bool]:
    """Cut ``text`` into tokens, at most so many; return them and whether that was all of it."""
    tokens = re.findall(r"\s*\S{1,8}|\s+", text)
    return tokens[:most], most is None or len(tokens) <= most


def text_for(response_format: Any) -> str:
    """Return what a model says under a ``response_format`` (chat) or ``text.format`` (responses)."""
    if not isinstance(response_format, Mapping):
        return TEXT
    if response_format.get("type") == "json_object":
        return json.dumps({"answer": TEXT})
    if response_format.get("type") == "json_schema":
        holder = response_format.get("json_schema", response_format)
        return json.dumps(instance_of(holder.get("schema") or {}))
    return TEXT


def instance_of(schema: Mapping[str, Any]) -> Any:
    """Return a small value that is valid under ``schema``, of the kinds that structured output allows."""
    return _instance(schema, schema, 0)


def _instance(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if reference := schema.get("$ref"):
        return _instance(_resolve(reference, root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if options := schema.get(choice):
            # Deep down only null can end a type that contains itself.
            ending = [option for option in options if option.get("type") == "null"] if depth > 3 else []
            return _instance((ending or options)[0], root, depth + 1)
    if parts := schema.get("allOf"):
        values = [_instance(part, root, depth + 1) for part in parts]
        if all(isinstance(value, dict) for value in values):
            return {name: value for part in values for name, value in part.items()}
        return values[0]
    return _of_type(schema, root, depth)


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    target: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(step, {}) if step and isinstance(target, Mapping) else target
    return target


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties") or {}
        needed = schema.get("required", list(properties))
        return {name: _instance(properties.get(name, {}), root, depth + 1) for name in needed}
    if kind == "array":
        if fixed := schema.get("prefixItems"):
            return [_instance(item, root, depth + 1) for item in fixed]
        return [_instance(schema.get("items") or {}, root, depth + 1)] * int(schema.get("minItems", 0))
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    if kind == "string":
        text = _BY_FORMAT.get(str(schema.get("format")), "simulated")
        return text.ljust(int(schema.get("minLength", 0)), "x")[: schema.get("maxLength")]
    return False if kind == "boolean" else None


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    if "minimum" in schema:
        value = -(-schema["minimum"] // step) * step
    elif "exclusiveMinimum" in schema:
        value = (schema["exclusiveMinimum"] // step + 1) * step
    else:
        value = 0
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        value = (-(-schema["exclusiveMaximum"] // step) - 1) * step
    if "maximum" in schema and value > schema["maximum"]:
        value = schema["maximum"] // step * step
    return int(value) if whole else float(value)
