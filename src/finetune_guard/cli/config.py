"""``finetune-guard config``: every effective setting and where its value came from."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import typer
from pydantic import SecretStr, TypeAdapter

from finetune_guard.cli.connection import AZURE_KEYS, Connection, connect, is_set
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import tell
from finetune_guard.config import ENVIRONMENT_PREFIX, GuardConfig, variable
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.idle_policy import IdlePolicy
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.domain.validation import format_value
from finetune_guard.rules.keep_alive import KeepAlive
from finetune_guard.rules.messages import format_duration

_SET_UP_BY_HAND = (
    "Then remove what you have set up yourself: the line in crontab -e; finetune-guard.timer and "
    ".service of systemd; the CronJob finetune-guard-keep-alive; .github/workflows/finetune-guard.yml; "
    "~/.config/finetune-guard.env; and what --install-completion has added to your shell's start-up file."
)


class _Setup(NamedTuple):
    """The effective settings, the errors of each, and the extras that are missing with the reason."""

    config: GuardConfig
    wrong: dict[str, str]
    connection: Connection | None
    problem: str | None
    organizations: int | None
    unreadable: str | None


def config(*, as_json: Json = False) -> None:
    """Show every setting and its origin, and how to uninstall.

    Keys and passwords are never shown. Nothing is asked of the API, and no key is needed. A wrong value
    is shown with what is allowed.

    Exit codes: 0 all can be used; 2 a setting is wrong.
    """
    setup, unknown = _setup(), _unknown_variables()
    if as_json:
        typer.echo(json.dumps(_as_json(setup, unknown)))
    else:
        _draw(setup)
    for name, meant in unknown.items():
        hint = f"; did you mean {meant}?" if meant is not None else "."
        tell(f"Note: {format_value(name)[1:-1]} is not a setting and has no effect{hint}")
    is_on = setup.config.enabled
    for told in setup.wrong.values():
        tell(f"Error: {told}" if is_on else f"Note: No effect, since the guard is off: {told}")
    if setup.problem is not None:
        tell(f"Error: {setup.problem}")
    if setup.problem is not None or (setup.wrong and is_on):
        raise typer.Exit(ExitCode.SETUP)


def _setup() -> _Setup:
    settings, wrong = GuardConfig.from_environment()
    connection = problem = organizations = unreadable = None
    try:
        connection = connect(settings, needs_key=False)
    except SetupError as error:
        problem = str(error)
    try:
        organizations = len(settings.open_store().organizations())
    except StoreError as error:
        unreadable = str(error)
    return _Setup(settings, wrong, connection, problem, organizations, unreadable)


def _draw(setup: _Setup) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    settings, connection, location = setup.config, setup.connection, setup.config.open_store().location
    rows = [
        (
            name,
            variable(name) if origin == "environment" or name in setup.wrong else origin,
            "WRONG, see below" if name in setup.wrong else _setting(name, getattr(settings, name)),
        )
        for name, origin in settings.origins().items()
    ]
    key = next(filter(is_set, ("OPENAI_API_KEY", *AZURE_KEYS)), None)
    host = connection.host or "none" if connection is not None else "not known, see below"
    forgets = connection.forgets if connection is not None else None
    uninstall = ["pip uninstall finetune-guard", _SET_UP_BY_HAND]
    if Path(location).is_dir():
        uninstall.insert(1, f"rm -r {shlex.quote(location)}")
    rest = [
        ("Store", location),
        ("In it", " ".join(filter(None, (setup.unreadable or _counted(setup.organizations or 0), forgets)))),
        ("Host", host),
        ("Guard", connection.inactive_because or f"active for {host}" if connection is not None else host),
        ("API key", f"set in {key}" if key is not None else "not set: OPENAI_API_KEY is empty"),
        ("Admin key", _admin_key(setup)),
        ("Uninstall", "\n".join(uninstall)),
    ]
    render.Screen().draw(render.listing(("Setting", "From", "Value"), rows), "", render.facts(rest))


def _admin_key(setup: _Setup) -> str:
    own, connection = variable("admin_api_key"), setup.connection
    if setup.config.admin_api_key is not None:
        return f"set in {own}"
    if not is_set("OPENAI_ADMIN_KEY"):
        return "not set: OPENAI_ADMIN_KEY is empty, and the organization's usage can't be read"
    if connection is not None and connection.guard.has_admin_key:
        return "set in OPENAI_ADMIN_KEY"
    host = connection.host if connection is not None else "a host that is not known"
    return (
        f"not set for {host}: OPENAI_ADMIN_KEY goes to the policy's own hosts only; {own} goes to this one, "
        "too"
    )


def _counted(organizations: int) -> str:
    few = {0: "nothing yet", 1: "the history of one organization"}
    return few.get(organizations, f"{organizations} histories")


def _as_json(setup: _Setup, unknown: dict[str, str | None]) -> dict[str, object]:
    connection = setup.connection
    return {
        "settings": {
            name: {
                "value": _plain(getattr(setup.config, name)),
                "from": origin,
                "variable": variable(name),
                "problem": setup.wrong.get(name),
            }
            for name, origin in setup.config.origins().items()
        },
        "store": {
            "location": setup.config.open_store().location,
            "organizations": setup.organizations,
            "problem": setup.unreadable,
        },
        "host": connection.host if connection is not None else None,
        "active": connection.guard.active if connection is not None else None,
        "inactive_because": connection.inactive_because if connection is not None else setup.problem,
        "api_key_set": is_set("OPENAI_API_KEY"),
        "admin_key_set": not _admin_key(setup).startswith("not set"),
        "unknown_variables": unknown,
    }


def _setting(name: str, value: object) -> str:
    return "not set" if name == "admin_api_key" and value is None else _in_words(value)


def _in_words(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, KeepAlive):
        return "on: " + ", ".join(f"{name} {_in_words(each)}" for name, each in value if each is not None)
    if isinstance(value, timedelta):
        return format_duration(value)
    plain = _plain(value)
    if isinstance(plain, dict):
        plain = [f"{model} {day or 'no end'}" for model, day in plain.items()]
    return ", ".join(plain) or "none" if isinstance(plain, list) else str(plain)


def _plain(value: object) -> object:
    """Return a value as JSON, without API keys and URL credentials."""
    plain: object = str(value)
    match value:
        case None | bool():
            plain = value
        case AccessPolicy():
            plain = value.name
        case KeepAlive():
            plain = value.model_dump(mode="json")
        case SecretStr():
            plain = "***"
        case timedelta():
            plain = TypeAdapter(timedelta).dump_python(value, mode="json")
        case list() | tuple():
            plain = [each.name if isinstance(each, IdlePolicy) else str(each) for each in value]
        case Mapping():
            plain = {str(name): _plain(each) for name, each in value.items()}
        case str():
            plain = format_value(value)[1:-1]
        case _ if callable(value):
            plain = f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', '?')}"
    return plain


def _unknown_variables() -> dict[str, str | None]:
    """Variables that look like settings but are not, each with the one that was probably meant."""
    known = {name.upper(): variable(name) for name in (*GuardConfig.model_fields, "webhook")}
    found: dict[str, str | None] = {}
    for name in sorted(os.environ):
        setting = name.upper().removeprefix(ENVIRONMENT_PREFIX)  # else all names look alike
        if name.upper().startswith(ENVIRONMENT_PREFIX) and setting not in known:
            close = get_close_matches(setting, known, n=1, cutoff=0.7)
            found[name] = known[close[0]] if close else None
    return found
