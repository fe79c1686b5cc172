"""``finetune-guard policies``: list the rules in force, or check a file of your own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.options import Json
from finetune_guard.cli.output import say
from finetune_guard.cli.timeline import counted
from finetune_guard.config import GuardConfig, read_policies
from finetune_guard.domain.idle_policy import SHIPPED, IdlePolicy
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.rules.idle_messages import idle_rule


def policies(context: typer.Context, *, as_json: Json = False) -> None:
    """List the rules in force and their sources.

    Each has its date, too. No key is needed.
    """
    if context.invoked_subcommand is not None:
        return
    config = GuardConfig()
    if as_json:
        rules = {
            "access": [config.policy.model_dump(mode="json")],
            "idle": [each.model_dump(mode="json") for each in config.idle_policies],
        }
        typer.echo(json.dumps(rules))
        return
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    rows = [(config.policy.name, _access(config.policy))]
    rows += [(each.name, _idle(each, own=each not in SHIPPED)) for each in config.idle_policies]
    render.Screen().draw(render.facts(rows))


def check_file(file: Annotated[Path, typer.Argument(help="A TOML or JSON file of rules.")]) -> None:
    """Check a file of rules, as FINETUNE_GUARD_POLICIES names one; nothing is stored.

    Exit codes: 0 it can be used; 2 something is wrong in it: each line names the line, the field, its value
    and what is allowed.
    """
    found = read_policies(file)
    for policy in found:
        say(f"{policy.name}: {_idle(policy, own=True)}")
    say(f"{counted(len(found), 'rule')}. To use them: FINETUNE_GUARD_POLICIES={file}")


def _access(policy: AccessPolicy) -> str:
    dated = [each for each in policy.phases if each.starts_on is not None]
    told = " ".join(f'Since {each.starts_on}: "{each.rule}"' for each in dated)
    return f"{told} Hosts: {', '.join(policy.hosts)}. Source: {policy.source}"


def _idle(policy: IdlePolicy, *, own: bool) -> str:
    parts = [
        idle_rule(policy),
        policy.condition,
        f"Hosts: {', '.join(policy.hosts)}.",
        f"Source: {policy.source}, {policy.as_of} ({policy.confidence}).",
        "From FINETUNE_GUARD_POLICIES." if own else "",
    ]
    return " ".join(filter(None, parts))
