"""Read a TOML or JSON file of idle policies; errors name the line and the field."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.hosts import is_pattern
from finetune_guard.domain.idle_policy import IdlePolicy
from finetune_guard.domain.text import Line, one_line
from finetune_guard.domain.validation import Duration, describe_problem, format_value

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover -- Python 3.10
    import tomli as tomllib

_TABLE = "idle"
_REMEDY = "See finetune-guard policies --json for rules in the form that is required."
_HEADER = re.compile(r"\s*\[\[\s*idle\s*\]\]")
_MAX_ERRORS = 20


def policies_in(text: str, file: str) -> tuple[IdlePolicy, ...]:
    """Return the rules in ``text``: each a table ``[[idle]]`` or, in a ``.json`` file, one of ``"idle"``.

    Each line of a GuardConfigError names the line of the file, the field, its value and what is allowed.
    """
    is_json = file.lower().endswith(".json")
    tables = _tables(text, file, is_json=is_json)
    lines = _lines_of_json(text, len(tables)) if is_json else _lines_of_toml(text)
    found: list[IdlePolicy] = []
    wrong: list[str] = []
    for index, table in enumerate(tables):
        at, fields = lines[index] if index < len(lines) else (1, {})
        try:
            policy = IdlePolicy(**_Written.model_validate(table).model_dump())
        except ValidationError as error:
            wrong += [
                _describe_field(problem, file, at, fields) for problem in error.errors(include_url=False)
            ]
            continue
        if any(policy.name == other.name for other in found):
            line = fields.get("name", at)
            wrong.append(
                f"{file}, line {line}: name is {format_value(policy.name)}: another rule has that name"
            )
        found.append(policy)
    if wrong:
        raise GuardConfigError("\n".join(wrong[:_MAX_ERRORS]), remedy=_REMEDY)
    return tuple(found)


def _tables(text: str, file: str, *, is_json: bool) -> list[Any]:
    try:
        read = json.loads(text, object_pairs_hook=_reject_duplicates) if is_json else tomllib.loads(text)
    except RecursionError:
        raise GuardConfigError(f"{file} is nested too deeply to be read.", remedy=_REMEDY) from None
    except ValueError as error:  # both name the line
        kind = "JSON" if is_json else "TOML"
        raise GuardConfigError(f"{file} is not {kind}: {one_line(str(error))}.", remedy=_REMEDY) from None
    tables = read.get(_TABLE) if isinstance(read, dict) else None
    if not isinstance(tables, list) or not tables:
        form = 'an object {"idle": [{...}]} is' if is_json else "tables that begin with [[idle]] are"
        raise GuardConfigError(f"{file} holds no rule: {form} required.", remedy=_REMEDY)
    unknown = next((name for name in read if name != _TABLE), None)
    if unknown is not None:
        key = re.compile(rf'[\s{{\["]*{re.escape(unknown)}\b')
        line = next((number for number, each in enumerate(text.splitlines(), 1) if key.match(each)), 1)
        raise GuardConfigError(
            f"{file}, line {line}: {one_line(unknown)} does not exist; allowed: {_TABLE}", remedy=_REMEDY
        )
    return tables


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} occurs twice in one object")
    return dict(pairs)


def _host(host: str) -> str:
    if not is_pattern(host):
        raise ValueError("a host's name, such as api.acme.com or *.acme.com, is required")
    return host


class _Written(IdlePolicy):
    """A rule as written in a file: with a window such as 15d, and hosts that are checked."""

    hosts: Annotated[tuple[Annotated[Line, AfterValidator(_host)], ...], Field(min_length=1)]
    window: Duration


def _describe_field(problem: Any, file: str, at: int, fields: Mapping[str, int]) -> str:
    """Describe the error in one field of a rule, with its line."""
    field = str(problem["loc"][0]) if problem["loc"] else ""
    where = f"{file}, line {fields.get(field, at)}: {one_line(field) or 'the rule'}"
    if problem["type"] == "missing":
        return f"{where} is missing from the rule that begins here"
    return f"{where} {describe_problem(problem, field, IdlePolicy.model_fields)}"


Lines = list[tuple[int, dict[str, int]]]
"""For each rule, its first line and the line of each of its fields."""


def _lines_of_toml(text: str) -> Lines:
    found: Lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if _HEADER.match(line):
            found.append((number, {}))
        elif found and (key := re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line)):
            found[-1][1].setdefault(key[1], number)
    return found


def _lines_of_json(text: str, rules: int) -> Lines:
    """Return the lines of the objects in the list ``"idle"``, which is known to be valid."""
    found: Lines = []
    decoder, place = json.JSONDecoder(), text.find("[") + 1  # nothing but "idle" holds a list before it
    for _ in range(rules):
        start = place + len(text[place:]) - len(text[place:].lstrip(" \t\r\n,"))
        _, place = decoder.raw_decode(text, start)
        at, fields = text.count("\n", 0, start) + 1, dict[str, int]()
        for key in re.finditer(r'"(\w+)"\s*:', text[start:place]):
            fields.setdefault(key[1], at + text.count("\n", start, start + key.start()))
        found.append((at, fields))
    return found
