"""``finetune-guard sync``: read the whole organization's usage into its history."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import ExitCode, SetupError
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import note, progress_bar, say
from finetune_guard.cli.timeline import counted
from finetune_guard.cli.verdict import in_words
from finetune_guard.domain.facts import Inference
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.engine.usage_sync import SyncProgress, UsageSync
from finetune_guard.openai_api.usage_pages import Precision
from finetune_guard.rules.messages import format_time

_NO_ADMIN_KEY = (
    "No admin key. Only an admin key can read the organization's usage; an owner of the organization can "
    "create one. Set OPENAI_ADMIN_KEY to it, beside OPENAI_API_KEY; for a host that FINETUNE_GUARD_HOSTS "
    "names, set FINETUNE_GUARD_ADMIN_API_KEY."
)
_MOST_PROJECTS = 5


def sync(
    *,
    days: Annotated[
        int | None, typer.Option(help="How far back to read, in days; by default the policy's window.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the whole organization's usage. Needs an admin key.

    The usage tells which fine-tuned models the organization has run, and when last. GET
    /organization/usage/completions is asked with OPENAI_ADMIN_KEY, some two pages for 60 days. What is
    read is kept page by page, also when the rest fails.

    Exit codes: 0 all was read, whatever the verdict; 6 a part of it: run it again, and it goes on there;
    2 no key, no admin key or a wrong setting; 1 nothing could be read.
    """
    connection = connect().must_guard_jobs("No usage is asked of")
    if not connection.guard.has_admin_key:
        raise SetupError(_NO_ADMIN_KEY)
    with progress_bar("Reading the usage", shown=not as_json) as bar:

        def move(come: SyncProgress) -> None:
            bar(come.days_read, come.days, f"{come.days_read} of {come.days} days")

        done = connection.guard.sync(days=days, progress=move)
    if as_json:
        typer.echo(done.model_dump_json())
    else:
        _draw(done, connection.guard.check())
    note(connection.forgets)
    if not done.complete:
        say(
            f"Incomplete: the usage after {format_time(done.covered_until)} could not be read "
            f"({done.failure}). "
            "What was read is kept; another sync goes on from there.",
            err=True,
        )
        raise typer.Exit(ExitCode.INCOMPLETE)


def _draw(done: UsageSync, eligibility: Eligibility) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich

    is_all = "complete" if done.complete else f"NOT COMPLETE: up to {format_time(done.end)} was asked for"
    rows = [
        ("Organization", done.organization),
        (
            "Usage read",
            (
                f"{format_time(done.start)} to "
                f"{format_time(done.covered_until)}{',' if done.complete else ';'} {is_all}"
            ),
        ),
        ("Models", _models(done)),
        ("Latest inference", _latest(done, eligibility.last_inference)),
        ("Now", in_words(eligibility)),
    ]
    render.Screen().draw(render.facts(rows))


def _models(done: UsageSync) -> str:
    if not done.models:
        return "no fine-tuned model was run in the part read now"
    run = f"{done.models:,} {'was' if done.models == 1 else 'were'} run in the part read now"
    number = len(done.projects)
    if not number:
        return run
    few = ", ".join(done.projects[:_MOST_PROJECTS])
    more = f" and {number - _MOST_PROJECTS:,} more" if number > _MOST_PROJECTS else ""
    return f"{run}, by {counted(number, 'project')}: {few}{more}"


def _latest(done: UsageSync, known: Inference | None) -> str:
    last = done.last_inference
    if last is None:
        before = f"; {format_time(known.at)} on {known.model} was known before" if known is not None else ""
        return f"none in the part read now{before}"
    when = {
        Precision.MINUTE: f"{format_time(last.at)}, to the minute",
        Precision.HOUR: f"between {format_time(last.at)} and {last.at + timedelta(hours=1):%H:%M UTC}",
        Precision.DAY: f"on {last.at.date()} (UTC), at an hour that is not known",
    }[done.precision or Precision.DAY]
    return f"{when}, on {last.model}"
