"""``finetune-guard status``: the whole picture of one organization."""

from __future__ import annotations

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.options import Debug, Json, Refresh
from finetune_guard.eligibility import Eligibility, Reason
from finetune_guard.gate import cause, moment, rule
from finetune_guard.history import Coverage
from finetune_guard.models import published_catalog

_COVERAGE = {
    Coverage.LOCAL: "Only programs that share this history were seen. Others of the organization may have "
    "run inferences that are not known here.",
    Coverage.ORGANIZATION: "The whole organization's usage was read.",
}
_COMMANDS = {
    Reason.WINDOW_EXPIRED: "finetune-guard keep-alive",
    Reason.NO_INFERENCE_RECORDED: "finetune-guard check --refresh, then finetune-guard keep-alive",
    Reason.REFUSED: "finetune-guard keep-alive --force",
    Reason.HISTORY_UNAVAILABLE: "finetune-guard config",
}


def status(*, refresh: Refresh = False, as_json: Json = False, debug: Debug = False) -> None:  # noqa: ARG001 -- read by its callback
    """Show whether fine-tuning jobs can be created, why, until when, and what to do.

    Without --refresh nothing is asked of the API. The exit code is 0 whatever the verdict; a script
    wants `check`.
    """
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    if as_json:
        typer.echo(eligibility.model_dump_json())
    else:
        _draw(connection, eligibility)


def _draw(connection: Connection, eligibility: Eligibility) -> None:
    from finetune_guard.cli import render  # noqa: PLC0415 -- no other output needs rich
    from finetune_guard.cli.timeline import coming, distance, moments  # noqa: PLC0415 -- as above

    screen = render.Screen()
    policy, now = connection.config.policy, eligibility.checked_at
    line = moments(eligibility, policy, published_catalog())
    axis, legend = render.timeline(line, now, screen.drawing_width)
    following = coming(line, now)
    rows = [
        ("Organization", eligibility.organization or "not known yet for this key"),
        ("Last inference", _last_inference(eligibility)),
        ("Coverage", _COVERAGE[eligibility.coverage]),
        ("Rule", rule(eligibility, policy)),
    ]
    if following is not None:
        hour = " (the hour and the time zone are not published)" if following.over is not None else ""
        when = str(following.day) if following.day is not None else moment(following.at)
        rows.append(("Next date", f"{when}, {distance(following, now)}: {following.text}{hour}"))
    rows.append(("What to do", _what_to_do(connection, eligibility)))
    headline = render.headline(eligibility.verdict, cause(eligibility))
    screen.draw(headline, "", axis, legend, "", render.facts(rows))


def _last_inference(eligibility: Eligibility) -> str:
    from finetune_guard.cli.render import source_in_words  # noqa: PLC0415 -- no other output needs rich

    last = eligibility.last_inference
    if last is None:
        return "none is known"
    return f"{moment(last.at)} on {last.model}, {source_in_words(last.source)}"


def _what_to_do(connection: Connection, eligibility: Eligibility) -> str:
    if connection.inactive_because is not None:
        advice = [connection.inactive_because]
    elif eligibility.reason in _COMMANDS:
        advice = [eligibility.remedy or "", f"On the command line: {_COMMANDS[eligibility.reason]}."]
    elif eligibility.remaining is not None and connection.plan(force=False, model=None).due:
        advice = [eligibility.remedy or "", "The window closes soon: finetune-guard keep-alive renews it."]
    else:
        advice = [eligibility.remedy or "Nothing now."]
    if connection.forgets is not None:
        advice.append(connection.forgets)
    return " ".join(filter(None, advice))
