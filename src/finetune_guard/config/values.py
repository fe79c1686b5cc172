"""The types of the settings, and how they are parsed from environment variables."""

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

_MAX_FILE_LENGTH = 1_000_000


def _parse_keep_alive(value: object) -> object:
    """Parse ``on``, ``off``, a duration or JSON."""
    if value is not None and not isinstance(value, (str, Mapping, KeepAlive)):
        raise ValueError('a KeepAlive, "on", "off" or a renew_within such as "14d" is required')
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in ("on", "true", "1", "yes"):
        return KeepAlive()
    if text.lower() in ("off", "false", "0", "no", "none"):
        return None
    return _parse_json(text) if text.startswith("{") else {"renew_within": text}


def _parse_off(value: object) -> object:
    """Parse ``off`` as None."""
    return None if isinstance(value, str) and value.strip().lower() in ("off", "none", "") else value


def _hide_secret(value: object) -> object:
    """Hide text from representations."""
    if isinstance(value, str) and value:
        return SecretStr(value)
    if value is None or (isinstance(value, SecretStr) and len(value) > 0):
        return value
    raise ValueError("text is required")


def _parse_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (RecursionError, ValueError):
        raise ValueError("valid JSON is required") from None


def _import_function(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    """Turn every error of an import into a ValueError."""
    try:
        return validate(value)
    except ValidationError:
        raise
    except Exception as error:  # noqa: BLE001 -- a module can fail in any way
        raise ValueError(f"a function that can be imported is required: {error!r}") from None


def _check_plain_function(function: Callable[..., object] | None) -> Callable[..., object] | None:
    if inspect.iscoroutinefunction(function):
        raise ValueError("a plain function is required: it is called in a thread without an event loop")
    return function


def _parse_list(value: object) -> object:
    """Parse values separated by commas, or a JSON list."""
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except (RecursionError, ValueError):  # also an IPv6 address, which starts with a bracket
        parsed = value
    items = parsed if isinstance(parsed, list) else str(parsed).split(",")
    return tuple(item.strip() if isinstance(item, str) else item for item in items if item not in ("", " "))


def read_policies(file: str | os.PathLike[str]) -> tuple[IdlePolicy, ...]:
    """Return the idle policies in a TOML or JSON file; raise a GuardConfigError if it is not valid."""
    path = Path(file).expanduser()
    try:
        with path.open(encoding="utf-8-sig") as stream:
            text = stream.read(_MAX_FILE_LENGTH + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise GuardConfigError(f"{path} can't be read: {why}.") from None
    if len(text) > _MAX_FILE_LENGTH:
        raise GuardConfigError(f"{path} has more than {_MAX_FILE_LENGTH:,} characters.")
    return policies_in(text, str(path))


def _parse_policies(value: object) -> object:
    """Read the policies if the value is a file."""
    if not isinstance(value, (str, os.PathLike)):
        return value
    try:
        return read_policies(value)
    except GuardConfigError as error:
        raise ValueError("; ".join(str(error).splitlines())) from None


def _check_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    for host in hosts:
        if not is_pattern(host):
            raise ValueError(
                f"{format_value(host)} is not a host: a name, *. before one, or an address is required, with "
                "or without a port, such as gateway.acme.com or 127.0.0.1:8400"
            )
    return tuple(hosts)


def _parse_model_dates(dates: object) -> object:
    """Parse shutdown dates, or None, by model id."""
    if not isinstance(dates, Mapping):
        raise ValueError('a mapping of model ids to dates is required, such as {"gpt-4.1": date(2027, 6, 1)}')  # noqa: TRY004 -- for pydantic
    for model in dates:
        if not is_name(model, MAX_MODEL_ID_LENGTH):
            raise ValueError(
                f"{format_value(model)} is not a model: an id such as gpt-4o-mini-2024-07-18 is required"
            )
    return {model: _parse_date(model, day) for model, day in dates.items()}


def _parse_date(model: str, day: object) -> date | None:
    if day is None or (isinstance(day, date) and not isinstance(day, datetime)):
        return day
    if (parsed := day_in(day)) is not None:
        return parsed
    raise ValueError(
        f"the end of {format_value(model)[1:-1]} is {format_value(day)}: a date, text such as "
        "2027-06-01, or None for no "
        "end is required"
    )


Policy = Annotated[AccessPolicy, NoDecode, BeforeValidator(_parse_json)]
Hosts = Annotated[Sequence[str], NoDecode, BeforeValidator(_parse_list), AfterValidator(_check_hosts)]
IdlePolicies = Annotated[
    str | os.PathLike[str] | Sequence[IdlePolicy], NoDecode, BeforeValidator(_parse_policies)
]
Deployments = Annotated[Sequence[Line], NoDecode, BeforeValidator(_parse_list)]
KeepAliveOrNone = Annotated[KeepAlive | None, NoDecode, BeforeValidator(_parse_keep_alive)]
Secret = Annotated[str | SecretStr | None, BeforeValidator(_hide_secret), Field(repr=False)]
DurationOrNone = Annotated[Duration | None, NoDecode, BeforeValidator(_parse_off)]
ModelDates = Annotated[
    Mapping[str, date | None], NoDecode, BeforeValidator(_parse_model_dates), BeforeValidator(_parse_json)
]
Clock = Annotated[
    ImportString[Callable[[], Any]], NoDecode, WrapValidator(_import_function), Field(repr=False)
]
EventCallback = Annotated[
    ImportString[Callable[[Event], object]] | None,
    NoDecode,
    WrapValidator(_import_function),
    AfterValidator(_check_plain_function),
    Field(repr=False),
]
