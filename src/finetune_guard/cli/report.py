"""``finetune-guard report``: one page about the organization's models, as HTML, Markdown or JSON."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import SetupError, need_extra
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import note, say, write_whole
from finetune_guard.cli.status import advice_for
from finetune_guard.cli.timeline import ends_by_day, moments
from finetune_guard.domain.errors import UsageSyncError
from finetune_guard.rules.report import DAYS, Report
from finetune_guard.rules.report import build_report as reported

_STDOUT = Path("-")


def report(
    *,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a web page here; - prints it.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as for a wiki.")] = False,
    as_json: Json = False,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh", help="Ask the API for models and jobs, and with an admin key for the usage."
        ),
    ] = False,
) -> None:
    """Write a page about jobs, requests, and models and deployments that end.

    It has the verdict, the dates, requests by day, and who still calls models that end. Without --refresh
    the page tells what the history knows. The web page is one file, which loads nothing; it needs the
    extra `report`. Without --html, Markdown is printed.

    Exit codes: 0 written; 2 no key, a wrong setting or no extra `report`; 1 failure.
    """
    if (html is not None) + markdown + as_json > 1:
        raise SetupError("--html, --markdown and --json exclude each other.")
    if html is not None:
        need_extra("jinja2", "report")
    connection = connect().must_be_active("No report is made for")
    found = _gather(connection, refresh=refresh)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    from finetune_guard.cli.report_page import as_html, as_markdown  # noqa: PLC0415 -- JSON needs neither

    ends = ends_by_day(each.record for each in found.models)
    line = moments(found.eligibility, connection.config.policy, ends)
    advice = advice_for(connection, found.eligibility, ends).in_words
    page = (as_markdown if html is None else as_html)(found, line, advice)
    if html is None or html == _STDOUT:
        typer.echo(page, nl=False)
    else:
        write_whole(html, page)
        say(f"Wrote {html}.", err=True)


def _gather(connection: Connection, *, refresh: bool) -> Report:
    guard, usage, inventory = connection.guard, None, None
    asks = refresh and guard.guards_jobs
    if asks and guard.has_admin_key:
        try:
            window = connection.config.policy.window or timedelta(0)  # which the verdict needs
            usage = guard.sync(days=max(DAYS, window.days)).requests
        except UsageSyncError as error:
            note(f"The usage is missing from the report. {error}")
    if asks:
        inventory = guard.models()  # its answers tell what the verdict needs, too
        if inventory.failure is not None:
            note(f"The API did not answer ({inventory.failure}); the verdict rests on the history.")
    eligibility = guard.check()
    history = connection.history(eligibility)
    return reported(
        eligibility,
        inventory if inventory is not None else connection.models_of(history, eligibility.checked_at),
        history,
        usage,
        asked=asks,
        deployments=connection.deployments(),
    )
