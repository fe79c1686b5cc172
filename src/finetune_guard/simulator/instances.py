"""The smallest value that a JSON schema allows, for the schemas that structured output accepts."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any

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


def instance_of(schema: Any) -> Any:
    """Return a small value that is valid under ``schema``."""
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
            return fixed or [self.make(schema.get("items"), depth + 1)] * min(
                int(schema.get("minItems", 0)), _LONGEST
            )
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
