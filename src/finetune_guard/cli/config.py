"""``finetune-guard config``: what is in force, and where each value came from."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from difflib import get_close_matches

import typer
from pydantic import SecretStr, TypeAdapter

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.options import Debug, Json
from finetune_guard.cli.timeline import span
from finetune_guard.config import ENVIRONMENT_PREFIX, GuardConfig, variable
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.domain.validation import shown
from finetune_guard.rules.keep_alive import KeepAlive


def config(*, as_json: Json = False, debug: Debug = False) -> None:  # noqa: ARG001 -- read by its callback
    """Show every setting, its value and where it came from; never a key or a password.

    Nothing is asked of the API, and no key is needed.
    """
    unknown = _unknown_variables()
    try:
        connection = connect(needs_key=False)
    except Exception:
        _complain(unknown)  # a typo may well be why the value that counts is wrong
        raise
    organizations, problem = _stored(connection)
    if as_json:
        typer.echo(json.dumps(_as_json(connection, organizations, problem, unknown)))
        return
    _draw(connection, organizations, problem)
    _complain(unknown)


def _draw(connection: Connection, organizations: int | None, problem: str | None) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    screen = render.Screen()
    origins = connection.config.origins()
    rows = [
        (
            name,
            _setting(name, getattr(connection.config, name)),
            variable(name) if origin == "environment" else origin,
        )
        for name, origin in origins.items()
    ]
    host = connection.host or "none"
    contents = problem or _counted(organizations or 0)
    rest = [
        ("Store", connection.config.open_store().location),
        ("In it", " ".join(filter(None, (contents, connection.forgets)))),
        ("Host", host),
        ("Guard", connection.inactive_because or f"active for {host}"),
        ("API key", "set in OPENAI_API_KEY" if _has_key() else "not set: OPENAI_API_KEY is empty"),
        ("Admin key", _admin_key(connection)),
    ]
    screen.draw(render.listing(("Setting", "Value", "From"), rows), "", render.facts(rest))


def _admin_key(connection: Connection) -> str:
    if not connection.has_admin_key:
        return "not set: OPENAI_ADMIN_KEY is empty, and the organization's usage can't be read"
    configured = connection.config.admin_api_key is not None
    return f"set in {variable('admin_api_key') if configured else 'OPENAI_ADMIN_KEY'}"


def _counted(organizations: int) -> str:
    if organizations == 0:
        return "nothing yet"
    return "the history of one organization" if organizations == 1 else f"{organizations} histories"


def _as_json(
    connection: Connection,
    organizations: int | None,
    problem: str | None,
    unknown: dict[str, str | None],
) -> dict[str, object]:
    return {
        "settings": {
            name: {
                "value": _plain(getattr(connection.config, name)),
                "from": origin,
                "variable": variable(name),
            }
            for name, origin in connection.config.origins().items()
        },
        "store": {
            "location": connection.config.open_store().location,
            "organizations": organizations,
            "problem": problem,
        },
        "host": connection.host,
        "active": connection.guard.active,
        "inactive_because": connection.inactive_because,
        "api_key_set": _has_key(),
        "admin_key_set": connection.has_admin_key,
        "unknown_variables": unknown,
    }


def _has_key() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY", "").strip())


def _stored(connection: Connection) -> tuple[int | None, str | None]:
    try:
        return len(connection.config.open_store().organizations()), None
    except StoreError as error:
        return None, str(error)


def _setting(name: str, value: object) -> str:
    return "not set" if name == "admin_api_key" and value is None else _in_words(value)


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, KeepAlive):
        settings = ", ".join(f"{name} {_in_words(setting)}" for name, setting in value if setting is not None)
        return f"on: {settings}"
    if isinstance(value, timedelta):
        return span(value)
    if value is None:
        return "off"
    plain = _plain(value)
    if isinstance(plain, list):
        return ", ".join(plain) or "none"
    return str(plain)


def _plain(value: object) -> object:
    """Return a value as JSON can hold it, without keys and the credentials of a URL."""
    plain: object = value if isinstance(value, bool) or value is None else str(value)
    if isinstance(value, AccessPolicy):
        plain = value.name
    elif isinstance(value, KeepAlive):
        plain = value.model_dump(mode="json")
    elif isinstance(value, SecretStr):
        plain = "***"
    elif isinstance(value, timedelta):
        plain = TypeAdapter(timedelta).dump_python(value, mode="json")
    elif isinstance(value, (list, tuple)):
        plain = [str(each) for each in value]
    elif callable(value):
        plain = f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', '?')}"
    elif isinstance(value, str):
        plain = shown(value)[1:-1]
    return plain


def _unknown_variables() -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the one that was probably meant."""
    known = [variable(name) for name in GuardConfig.model_fields]
    found = sorted(name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX))
    return {
        name: next(iter(get_close_matches(name.upper(), known, n=1)), None)
        for name in found
        if name.upper() not in known
    }


def _complain(unknown: dict[str, str | None]) -> None:
    for name, meant in unknown.items():
        hint = f"; did you mean {meant}?" if meant is not None else "."
        typer.echo(f"Note: {shown(name)[1:-1]} is not a setting and has no effect{hint}", err=True)
