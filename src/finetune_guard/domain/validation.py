"""One wording for wrong values: which field, which value, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.text import one_line

_USERINFO = re.compile(r"(?<=://)\S*@")  # up to the last @: a password may hold one that isn't escaped
_QUERY_VALUE = re.compile(r"(?<==)[^&\s]+")
_MAX_SHOWN = 120
_MAX_MESSAGE = 1_000


def config_error(
    owner: str,
    error: ValidationError,
    *,
    fields: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
) -> GuardConfigError:
    """Return the error that tells, for each wrong field of ``owner``, the value and what is allowed.

    Args:
        owner: The class that was given the values.
        error: What pydantic found.
        fields: The names that exist, shown when an unknown one was given.
        variables: For values that came from the environment, the variable of each field.
        secrets: The fields whose values are never shown.
    """
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        parts = (str(part) for part in problem["loc"])
        name = ".".join(one_line(part, _MAX_SHOWN) for part in parts if not part.startswith("function-"))
        origin = (variables or {}).get(name.split(".")[0])
        where = f"{owner}.{name}" if name else owner
        where += f" (from {origin})" if origin else ""
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where} does not exist; allowed: {', '.join(sorted(fields))}")
        else:
            value = kind_of(problem["input"]) if name.split(".")[0] in secrets else shown(problem["input"])
            lines.append(f"{where} is {value}: {_allowed(one_line(problem['msg'], _MAX_MESSAGE))}")
    return GuardConfigError("\n".join(lines))


def shown(value: object) -> str:
    """Return ``value`` for a message: short, on one line, and without the credentials of a URL."""
    text = repr(without_secrets(value) if isinstance(value, str) else value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def without_secrets(text: str) -> str:
    """Return ``text`` without what may be secret if it is a URL: user, password, and the query's values."""
    if "://" not in text:
        return text
    address, mark, query = _USERINFO.sub("***@", text).partition("?")
    return address + mark + _QUERY_VALUE.sub("***", query)


def kind_of(value: object) -> str:
    """Return what ``value`` is, and not the value itself: it may well be a key."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def _allowed(message: str) -> str:
    message = message.removeprefix("Value error, ")
    rest = message.partition(" ")[0][1:]
    return message[:1].lower() + message[1:] if rest == rest.lower() else message  # KeepAlive stays a name
