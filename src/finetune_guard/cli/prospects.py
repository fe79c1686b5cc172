"""How long a fine-tune would live, in words and as an exit code. No I/O and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from pydantic import TypeAdapter

from finetune_guard.cli.ends import source_in_words
from finetune_guard.cli.exits import ExitCode
from finetune_guard.cli.timeline import days_away
from finetune_guard.rules.inventory import Prospect
from finetune_guard.rules.messages import span


@dataclass(frozen=True)
class Outlook:
    """What is known of a fine-tune that would be made today, beside what is asked of it.

    Attributes:
        prospect: What is known.
        today: The day, in UTC.
        least: How long it has to live at least; None when nothing is asked.
        must_be_known: Whether an unknown lifetime is a failure too.
    """

    prospect: Prospect
    today: date
    least: timedelta | None
    must_be_known: bool

    @property
    def lives_long_enough(self) -> bool | None:
        """Whether it would; None where no source tells, or nothing is asked."""
        lifetime = self.prospect.lifetime
        return None if lifetime is None or self.least is None else lifetime >= self.least

    @property
    def exit_code(self) -> ExitCode:
        """The exit code for it."""
        never = self.prospect.can_be_fine_tuned is False
        if never or self.prospect.is_shut_down(self.today) or self.lives_long_enough is False:
            return ExitCode.MODEL_ENDS
        unknown = self.must_be_known and self.prospect.lifetime is None
        return ExitCode.UNKNOWN if unknown else ExitCode.OK

    def in_words(self) -> str:
        """Return it as one line."""
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
        if self.least is None or self.lives_long_enough:
            return f"{known}."
        return f"{known}; that is less than the {span(self.least)} asked for."

    def as_json(self) -> dict[str, object]:
        """Return it for programs; durations are in seconds."""
        prospect: dict[str, object] = TypeAdapter(Prospect).dump_python(self.prospect, mode="json")
        return {
            **prospect,
            "lifetime": _seconds(self.prospect.lifetime),
            "is_shut_down": self.prospect.is_shut_down(self.today),
            "min_lifetime": _seconds(self.least),
            "lives_long_enough": self.lives_long_enough,
        }


def _seconds(duration: timedelta | None) -> float | None:
    return duration.total_seconds() if duration is not None else None
