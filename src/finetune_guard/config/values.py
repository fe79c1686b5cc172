"""The values of settings: how people and environment variables write them, and what they become."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ImportString,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_settings import NoDecode

from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.events import Event
from finetune_guard.domain.hosts import is_pattern
from finetune_guard.domain.idle_policy import IdlePolicy
from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.domain.policy_file import policies_in
from finetune_guard.domain.text import Line, day_in, is_name
from finetune_guard.domain.validation import Duration, format_value
from finetune_guard.rules.keep_alive import KeepAlive

_LONGEST_FILE = 1_000_000


def _switch(value: object) -> object:
    """``on``, ``off``, a duration or JSON, as written in the environment, for a KeepAlive."""
    if value is not None and not isinstance(value, (str, Mapping, KeepAlive)):
        raise ValueError('a KeepAlive, "on", "off" or a renew_within such as "14d" is required')
    if not isinstance(value, str):
        return value
    written = value.strip()
    if written.lower() in ("on", "true", "1", "yes"):
        return KeepAlive()
    if written.lower() in ("off", "false", "0", "no", "none"):
        return None
    return _json(written) if written.startswith("{") else {"renew_within": written}


def _none(value: object) -> object:
    """``off``, as written in the environment, for None."""
    return None if isinstance(value, str) and value.strip().lower() in ("off", "none", "") else value


def _secret(value: object) -> object:
    """Text that is never shown."""
    if isinstance(value, str) and value:
        return SecretStr(value)
    if value is None or (isinstance(value, SecretStr) and len(value) > 0):
        return value
    raise ValueError("text is required")


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (RecursionError, ValueError):
        raise ValueError("valid JSON is required") from None


def _imported(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Let a module fail in whatever way while it is imported."""
    try:
        return read(value)
    except ValidationError:
        raise
    except Exception as error:  # noqa: BLE001 -- a module can fail in any way
        raise ValueError(f"a function that can be imported is required: {error!r}") from None


def _no_coroutine(function: Callable[..., object] | None) -> Callable[..., object] | None:
    if inspect.iscoroutinefunction(function):
        raise ValueError("a plain function is required: it is called in a thread that has no event loop")
    return function


def _listed(value: object) -> object:
    """Hosts separated by commas, a JSON list of them, or a sequence."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except (RecursionError, ValueError):  # an IPv6 address begins with a bracket, too
        found = value
    hosts = found if isinstance(found, list) else str(found).split(",")
    return tuple(host.strip() if isinstance(host, str) else host for host in hosts if host not in ("", " "))


def read_policies(file: str | os.PathLike[str]) -> tuple[IdlePolicy, ...]:
    """Return the idle policies that a TOML or JSON file holds; a GuardConfigError tells what is wrong."""
    path = Path(file).expanduser()
    try:
        with path.open(encoding="utf-8-sig") as opened:
            text = opened.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise GuardConfigError(f"{path} can't be read: {why}.") from None
    if len(text) > _LONGEST_FILE:
        raise GuardConfigError(f"{path} has more than {_LONGEST_FILE:,} characters.")
    return policies_in(text, str(path))


def _rules(value: object) -> object:
    """The policies of a file, or what was given in its place."""
    if not isinstance(value, (str, os.PathLike)):
        return value
    try:
        return read_policies(value)
    except GuardConfigError as error:
        raise ValueError("; ".join(str(error).splitlines())) from None


def _hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    for host in hosts:
        if not is_pattern(host):
            raise ValueError(
                f"{format_value(host)} is no host: a name, *. before one, or an address is required, with or "
                "without a port, such as gateway.acme.com or 127.0.0.1:8400"
            )
    return tuple(hosts)


def _dated(days: object) -> object:
    """The ends of models: days or None, by the model's id."""
    if not isinstance(days, Mapping):
        raise ValueError('a mapping of model ids to dates is required, such as {"gpt-4.1": date(2027, 6, 1)}')  # noqa: TRY004 -- for pydantic
    for model in days:
        if not is_name(model, MAX_MODEL_ID_LENGTH):
            raise ValueError(
                f"{format_value(model)} is no model: an id such as gpt-4o-mini-2024-07-18 is required"
            )
    return {model: _day(model, day) for model, day in days.items()}


def _day(model: str, day: object) -> date | None:
    if day is None or (isinstance(day, date) and not isinstance(day, datetime)):
        return day
    if (found := day_in(day)) is not None:
        return found
    raise ValueError(
        f"the end of {format_value(model)[1:-1]} is {format_value(day)}: a date, text such as "
        "2027-06-01, or None for no "
        "end is required"
    )


Policy = Annotated[AccessPolicy, NoDecode, BeforeValidator(_json)]
Hosts = Annotated[Sequence[str], NoDecode, BeforeValidator(_listed), AfterValidator(_hosts)]
IdlePolicies = Annotated[str | os.PathLike[str] | Sequence[IdlePolicy], NoDecode, BeforeValidator(_rules)]
Deployments = Annotated[Sequence[Line], NoDecode, BeforeValidator(_listed)]
KeepAliveOrNone = Annotated[KeepAlive | None, NoDecode, BeforeValidator(_switch)]
Secret = Annotated[str | SecretStr | None, BeforeValidator(_secret), Field(repr=False)]
DurationOrNone = Annotated[Duration | None, NoDecode, BeforeValidator(_none)]
ModelDates = Annotated[Mapping[str, date | None], NoDecode, BeforeValidator(_dated), BeforeValidator(_json)]
Clock = Annotated[ImportString[Callable[[], Any]], NoDecode, WrapValidator(_imported), Field(repr=False)]
EventCallback = Annotated[
    ImportString[Callable[[Event], object]] | None,
    NoDecode,
    WrapValidator(_imported),
    AfterValidator(_no_coroutine),
    Field(repr=False),
]
