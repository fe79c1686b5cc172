"""Validate settings: durations such as ``14d``, and the error texts for wrong values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_core import ErrorDetails

from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.text import one_line, without_secrets

_QUOTED = re.compile(r"'([^']*)'")
_MAX_SHOWN = 120
_MAX_MESSAGE = 1_000


def config_error(owner: str, error: ValidationError, *, fields: Mapping[str, Any]) -> GuardConfigError:
    """Return the error that names each wrong field of ``owner``, its value and what is allowed."""
    return GuardConfigError("\n".join(describe_problems(owner, error, fields=fields).values()))


def describe_problems(
    owner: str,
    error: ValidationError,
    *,
    fields: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
) -> dict[str, str]:
    """Return the error text of each wrong field of the class ``owner``, in one or more lines.

    ``variables`` are the environment variables that fields were read from; ``secrets`` are the fields whose
    values are never shown.
    """
    found: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False):
        parts = [str(part) for part in problem["loc"]]
        field = parts[0] if parts else ""
        name = ".".join(one_line(part, _MAX_SHOWN) for part in parts if not part.startswith("function-"))
        origin = f" (from {variables[field]})" if variables and field in variables else ""
        wrong = describe_problem(problem, name, fields, is_secret=field in secrets)
        found.setdefault(field, []).append(f"{owner}{'.' if name else ''}{name}{origin} {wrong}")
    return {field: "\n".join(lines) for field, lines in found.items()}


def describe_problem(
    problem: ErrorDetails, name: str, fields: Iterable[str], *, is_secret: bool = False
) -> str:
    """Return pydantic's error for the field ``name``, worded to follow that name."""
    if problem["type"] == "extra_forbidden":
        allowed, hint = ", ".join(sorted(fields)), did_you_mean(name, fields)
        return f"does not exist; {f'{hint} Allowed' if hint else 'allowed'}: {allowed}"
    value = describe_type(problem["input"]) if is_secret else format_value(problem["input"])
    message = "true or false is required" if problem["type"].startswith("bool") else problem["msg"]
    allowed = _allowed(one_line(without_secrets(message), _MAX_MESSAGE))
    choices = _QUOTED.findall(str(problem.get("ctx", {}).get("expected", "")))
    return f"is {value}: {'; '.join(filter(None, (allowed, did_you_mean(problem['input'], choices))))}"


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """Return a question naming the one of ``choices`` that resembles ``value``; empty if none does."""
    text = value.strip("\"' ").lower() if isinstance(value, str) and len(value) <= _MAX_SHOWN else ""
    close = get_close_matches(text, list(choices), n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else ""


def format_value(value: object) -> str:
    """Return ``value`` for a message: short, on one line, without keys and passwords."""
    text = repr(without_secrets(value)) if isinstance(value, str) else without_secrets(repr(value))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def describe_type(value: object) -> str:
    """Return the type of ``value``, not the value itself, which may be a key."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def _allowed(message: str) -> str:
    message = message.removeprefix("Value error, ")
    rest = message.partition(" ")[0][1:]
    return message[:1].lower() + message[1:] if rest == rest.lower() else message  # KeepAlive stays a name


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WRITTEN = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*([smhdw])")
_ALLOWED = "a time longer than zero is required, such as 14d, 12h, 30m, ISO 8601 text or a timedelta"


def _parse_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        if match := _WRITTEN.fullmatch(value.strip().lower()):
            return timedelta(**{_UNITS[match[2]]: float(match[1])})
        if value.strip()[:1] in ("P", "p"):
            return value.strip().upper()
    raise ValueError(_ALLOWED)


def _check_positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError(_ALLOWED)
    return duration


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), AfterValidator(_check_positive)]
"""A timedelta longer than zero, also given as ``14d`` or as ISO 8601 text."""
