"""``finetune-guard check``: the verdict in a line or two, and as an exit code for scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import OF_VERDICT, ExitCode, SetupError
from finetune_guard.cli.options import Json, RefreshAndShowLimits, duration, must_name_a_model
from finetune_guard.cli.output import note, say
from finetune_guard.cli.timeline import days_away, source_in_words
from finetune_guard.cli.verdict import in_words, limits_in_words
from finetune_guard.rules.inventory import Prospect
from finetune_guard.rules.messages import format_duration, format_time
from finetune_guard.rules.model_messages import old_table

_WORST_FIRST = (ExitCode.INELIGIBLE, ExitCode.MODEL_ENDS, ExitCode.UNKNOWN, ExitCode.CLOSES_SOON, ExitCode.OK)


def check(
    *,
    base: Annotated[
        str | None, typer.Option(help="Look, too, at the model that a job would start from.")
    ] = None,
    min_lifetime: Annotated[
        str | None, typer.Option(help="How long a fine-tune of --base made now has to live, such as 30d.")
    ] = None,
    min_remaining: Annotated[
        str | None, typer.Option(help="For how long jobs have to be possible still, such as 14d.")
    ] = None,
    refresh: RefreshAndShowLimits = False,
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
    must_name_a_model(base)
    if least is not None and base is None:
        raise SetupError("--min-lifetime needs --base: the model that a job would start from.")
    connection = connect()
    eligibility = connection.guard.check(refresh=refresh)
    today, until = eligibility.checked_at.date(), eligibility.jobs_until
    codes = {OF_VERDICT[eligibility.verdict], ExitCode.OK}
    said = [" ".join(filter(None, (in_words(eligibility), connection.inactive_because)))]
    told: dict[str, object] = eligibility.model_dump(mode="json")
    limits = connection.model_limits(refresh=refresh)
    if limits is not None:
        said.append(f"Model limits: {limits_in_words(limits)}")
    if base is not None:
        asked_for = least if least is not None else connection.config.min_model_lifetime
        outlook = _Outlook(connection.guard.prospect(base), today, asked_for)
        codes.add(outlook.exit_code(must_be_known=least is not None))
        said.append(outlook.in_words())
        told = {"eligibility": told, "prospect": outlook.as_json()}
    if limits is not None:
        told["model_limits"] = limits.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(told))
    else:
        say("\n".join(said))
    if needed is not None and until is not None and until - eligibility.checked_at < needed:
        codes.add(ExitCode.CLOSES_SOON)
        less = (
            f"Jobs can be created until {format_time(until)}: that is less than the "
            f"{format_duration(needed)} asked for."
        )
        say(less, err=as_json)
    note(old_table(connection.dates(), today) if connection.covers_jobs else None, connection.forgets)
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


@dataclass(frozen=True)
class _Outlook:
    """How long a fine-tune made today would live, compared with the required ``least``."""

    prospect: Prospect
    today: date
    least: timedelta | None

    @property
    def lives_long_enough(self) -> bool | None:
        """Whether it would live long enough; None if no source knows, or no minimum is set."""
        return self.prospect.lives_for(self.least) if self.least is not None else None

    def exit_code(self, *, must_be_known: bool) -> ExitCode:
        never = self.prospect.can_be_fine_tuned is False
        if never or self.prospect.is_shut_down(self.today) or self.lives_long_enough is False:
            return ExitCode.MODEL_ENDS
        return ExitCode.UNKNOWN if must_be_known and self.lives_long_enough is None else ExitCode.OK

    def in_words(self) -> str:
        prospect, end = self.prospect, self.prospect.fine_tunes_shutdown
        if prospect.base_shutdown is not None and prospect.is_shut_down(self.today):
            gone = prospect.base_shutdown
            return f"{prospect.model}: shut down on {gone.day}, ±1 day ({source_in_words(gone)})."
        if prospect.can_be_fine_tuned is False:
            return f"{prospect.model}: can't be fine-tuned, as far as is published."
        if end is None:
            return f"{prospect.model}: how long a fine-tune made now would live is unknown."
        known = f"{prospect.model}: a fine-tune made now ends on {end.day}, ±1 day"
        known += f", {days_away(end.days_left(self.today))} ({source_in_words(end)})"
        if self.least is None or self.lives_long_enough is not False:
            return f"{known}."
        return f"{known}; that is less than the {format_duration(self.least)} asked for."

    def as_json(self) -> dict[str, object]:
        """Return it for programs; durations are in seconds."""
        lifetimes = {"lifetime": self.prospect.lifetime, "min_lifetime": self.least}
        return {
            **TypeAdapter(Prospect).dump_python(self.prospect, mode="json"),
            "is_shut_down": self.prospect.is_shut_down(self.today),
            "lives_long_enough": self.lives_long_enough,
            **{name: each.total_seconds() if each is not None else None for name, each in lifetimes.items()},
        }
