"""``finetune-guard report``: one page about the organization's models, as HTML, Markdown or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.ends import DayOfEnds, ends_by_day
from finetune_guard.cli.failures import SetupError, need_extra
from finetune_guard.cli.options import Json
from finetune_guard.cli.output import say
from finetune_guard.cli.status import advice_for
from finetune_guard.cli.timeline import moments
from finetune_guard.cli.whole_file import write_whole
from finetune_guard.domain.errors import UsageSyncError
from finetune_guard.openai_api.listing import Listing
from finetune_guard.rules.inventory import joined
from finetune_guard.rules.report import DAYS, Report
from finetune_guard.rules.report import report as reported

_STDOUT = Path("-")


def report(
    *,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a web page here; - prints it."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a pull request or a wiki.")
    ] = False,
    as_json: Json = False,
    refresh: Annotated[
        bool,
        typer.Option(
            "--refresh",
            help="Ask the API for the models and jobs, and with an admin key for the organization's usage.",
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
    connection = connect()
    connection.must_be_active("No report is made for")
    found, ends = _gather(connection, refresh=refresh)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    from finetune_guard.cli.report_page import as_html, as_markdown  # noqa: PLC0415 -- JSON needs neither

    line = moments(found.eligibility, connection.config.policy, ends)
    advice = advice_for(connection, found.eligibility, ends).in_words
    if html is None:
        typer.echo(as_markdown(found, line, advice), nl=False)
    elif html == _STDOUT:
        typer.echo(as_html(found, line, advice), nl=False)
    else:
        write_whole(html, as_html(found, line, advice))
        say(f"Wrote {html}.", err=True)


def _gather(connection: Connection, *, refresh: bool) -> tuple[Report, tuple[DayOfEnds, ...]]:
    """Return what is known, and when the models that the history knows end."""
    usage, asks = None, refresh and connection.guard.guards_jobs
    if asks and connection.guard.has_admin_key:
        try:
            usage = connection.guard.sync(days=DAYS).requests
        except UsageSyncError as error:
            say(f"Note: the usage is missing from the report. {error}", err=True)
    inventory = connection.guard.models() if asks else None
    eligibility = connection.guard.check(refresh=refresh)
    history, dates = connection.history(eligibility), connection.dates()
    if inventory is None:
        inventory = joined(Listing(), history, dates, eligibility.checked_at)
    deployments = connection.deployments()
    found = reported(eligibility, inventory, history, usage, asked=asks, deployments=deployments)
    return found, ends_by_day(history.known_models, dates)
