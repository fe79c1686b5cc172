"""``finetune-guard check``: the verdict in a line or two, and as an exit code for scripts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from finetune_guard.cli.connection import Connection, connect
from finetune_guard.cli.exits import OF_VERDICT, ExitCode
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.options import Json, Refresh, duration
from finetune_guard.cli.output import say
from finetune_guard.cli.prospects import Outlook
from finetune_guard.cli.verdict import in_words, limits_in_words
from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.rules.messages import moment, span
from finetune_guard.rules.model_messages import old_table

_WORST_FIRST = (
    ExitCode.INELIGIBLE,
    ExitCode.MODEL_ENDS,
    ExitCode.UNKNOWN,
    ExitCode.CLOSES_SOON,
    ExitCode.OK,
)


def check(
    *,
    base: Annotated[
        str | None,
        typer.Option(
            help="Look, too, at the model that a job would start from: a base model or a fine-tune."
        ),
    ] = None,
    min_lifetime: Annotated[
        str | None,
        typer.Option(help="How long a fine-tune of --base that is made now has to live, such as 30d or 12h."),
    ] = None,
    min_remaining: Annotated[
        str | None,
        typer.Option(help="For how long jobs have to be possible still, such as 14d, if nothing changes."),
    ] = None,
    refresh: Refresh = False,
    as_json: Json = False,
) -> None:
    """Say in one line, and by exit code, whether jobs can be created.

    With --base another line says how long a fine-tune made now would live.

    Exit codes: 0 eligible; 3 ineligible; 4 not known; 5 eligible or not known, but the base model is gone,
    can't be fine-tuned, or its fine-tunes live too short; 8 eligible, but for less than --min-remaining; 2
    no key or a wrong setting; 1 failure. With more than one of them the first of 3, 5, 4 and 8 counts. A
    base whose end no source tells is not known, and only with --min-lifetime is that exit 4.
    FINETUNE_GUARD_MIN_MODEL_LIFETIME counts where --min-lifetime is not given. Without --refresh nothing is
    asked of the API.
    """
    least, needed = duration("--min-lifetime", min_lifetime), duration("--min-remaining", min_remaining)
    if least is not None and base is None:
        raise SetupError("--min-lifetime needs --base: the model that a job would start from.")
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    limits = connection.model_limits(refresh=refresh)
    outlook = None
    if base is not None:
        outlook = Outlook(
            connection.guard.prospect(base),
            eligibility.checked_at.date(),
            least if least is not None else connection.config.min_model_lifetime,
            must_be_known=least is not None,
        )
    codes = {OF_VERDICT[eligibility.verdict], outlook.exit_code if outlook is not None else ExitCode.OK}
    until = eligibility.jobs_until
    if needed is not None and until is not None and until - eligibility.checked_at < needed:
        codes.add(ExitCode.CLOSES_SOON)
    if as_json:
        typer.echo(json.dumps(_as_json(eligibility, limits, outlook)))
    else:
        _tell(connection, eligibility, limits, outlook)
    if ExitCode.CLOSES_SOON in codes and needed is not None:
        said = f"Jobs can be created until {moment(until)}: that is less than the {span(needed)} asked for."
        say(said, err=as_json)
    old = old_table(connection.dates(), eligibility.checked_at.date()) if connection.speaks_of_jobs else None
    for note in filter(None, (old, connection.forgets)):
        say(f"Note: {note}", err=True)
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _tell(
    connection: Connection, eligibility: Eligibility, limits: ModelLimits | None, outlook: Outlook | None
) -> None:
    say(" ".join(filter(None, (in_words(eligibility), connection.inactive_because))))
    if limits is not None:
        say(f"Model limits, as the API shows them; they decide nothing: {limits_in_words(limits)}")
    if outlook is not None:
        say(outlook.in_words())


def _as_json(
    eligibility: Eligibility, limits: ModelLimits | None, outlook: Outlook | None
) -> dict[str, object]:
    told: dict[str, object] = eligibility.model_dump(mode="json")
    if outlook is not None:
        told = {"eligibility": told, "prospect": outlook.as_json()}
    return {**told, "model_limits": limits.model_dump(mode="json")} if limits is not None else told
