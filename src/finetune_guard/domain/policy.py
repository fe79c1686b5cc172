"""The provider's dated rules: which requirement for creating fine-tuning jobs holds from which day.

A published date has neither hour nor time zone. It is treated as a *band* from its first moment anywhere on
Earth (00:00 at UTC+14) to its last (24:00 at UTC-12): before it the earlier phase holds, after it the later
one, and inside it only the provider knows.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from finetune_guard.domain.text import Line
from finetune_guard.domain.values import StrEnum, Value

DEPRECATIONS_PAGE = (
    "https://developers.openai.com/api/docs/deprecations#update-to-openais-self-serve-fine-tuning"
)

_EARLIEST_ZONE = timezone(timedelta(hours=14))
_LATEST_ZONE = timezone(timedelta(hours=-12))


def aware_utc(value: datetime) -> datetime:
    """Return ``value`` in UTC; a naive datetime is a ValueError."""
    if value.tzinfo is None:
        raise ValueError("a datetime with a time zone is required, for example datetime.now(timezone.utc)")
    return value.astimezone(timezone.utc)


def band_of(day: date) -> tuple[datetime, datetime]:
    """Return the first and the last instant of a day anywhere on Earth, in UTC."""
    first = datetime(day.year, day.month, day.day, tzinfo=_EARLIEST_ZONE)
    last = first.replace(tzinfo=_LATEST_ZONE) + timedelta(days=1)
    return first.astimezone(timezone.utc), last.astimezone(timezone.utc)


UtcDatetime = Annotated[datetime, AfterValidator(aware_utc)]
"""An aware datetime, converted to UTC on validation."""

Window = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=3_650))]
"""How long something may go unused."""


class Requirement(StrEnum):
    """The condition for creating fine-tuning jobs during a phase."""

    NONE = "none"
    EARLIER_FINE_TUNING = "earlier_fine_tuning"
    RECENT_INFERENCE = "recent_inference"
    CLOSED = "closed"


class Phase(Value):
    """A requirement and the day from which it applies.

    Attributes:
        starts_on: The published date; None for the time before any rule.
        window: For ``RECENT_INFERENCE``, the maximum age of the latest inference.
        rule: The rule in the provider's words.
    """

    starts_on: Annotated[date, Field(ge=date(2000, 1, 1), lt=date(2201, 1, 1))] | None
    requirement: Requirement
    window: Window | None = None
    rule: Line = ""

    @model_validator(mode="after")
    def _window_belongs_to_recent_inference(self) -> Phase:
        if (self.requirement is Requirement.RECENT_INFERENCE) != (self.window is not None):
            raise ValueError("window is given for requirement 'recent_inference', and only for that")
        return self

    @property
    def begins(self) -> tuple[datetime, datetime] | None:
        """The band of ``starts_on``: its first and its last instant on Earth, in UTC."""
        return band_of(self.starts_on) if self.starts_on is not None else None


class AccessPolicy(Value):
    """The phases of a provider's rule about who may create fine-tuning jobs.

    Attributes:
        name: A short name for messages.
        phases: In the order of their dates; the first has none.
        hosts: The API hosts that the policy applies to; ``*.`` at the start stands for any subdomain.
        source: Where the provider published it.
    """

    name: Line
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    hosts: tuple[Line, ...] = ()
    source: Line = ""

    @model_validator(mode="after")
    def _phases_are_in_order(self) -> AccessPolicy:
        if self.phases[0].starts_on is not None:
            raise ValueError("the first phase holds before every date: its starts_on must be None")
        dates = [phase.starts_on for phase in self.phases[1:]]
        if any(day is None for day in dates):
            raise ValueError("every phase after the first needs a starts_on")
        days = [day for day in dates if day is not None]
        if any(later - earlier < timedelta(days=3) for earlier, later in pairwise(days)):
            raise ValueError("phases must be in the order of their dates, at least three days apart")
        return self

    def phases_at(self, now: datetime) -> tuple[Phase, ...]:
        """Return the phase that applies at ``now``; inside a band, the earlier and the later one."""
        holding = self.phases[0]
        for phase in self.phases[1:]:
            band = phase.begins
            if band is None or now < band[0]:
                break
            if now < band[1]:
                return holding, phase
            holding = phase
        return (holding,)

    @property
    def closing(self) -> Phase | None:
        """The phase from which on nobody can create jobs; None when the policy has no end."""
        return next((phase for phase in self.phases if phase.requirement is Requirement.CLOSED), None)

    @property
    def window(self) -> timedelta | None:
        """The window of the policy's recent-inference requirement; None when it has none."""
        return next((phase.window for phase in self.phases if phase.window is not None), None)


OPENAI_SELF_SERVE = AccessPolicy(
    name="OpenAI self-serve fine-tuning",
    source=DEPRECATIONS_PAGE,
    hosts=("api.openai.com", "*.api.openai.com"),
    phases=(
        Phase(starts_on=None, requirement=Requirement.NONE),
        Phase(
            starts_on=date(2026, 5, 7),
            requirement=Requirement.EARLIER_FINE_TUNING,
            rule="Creating fine-tuning jobs or training is not available to organizations that have not "
            "previously run fine-tuning.",
        ),
        Phase(
            starts_on=date(2026, 7, 2),
            requirement=Requirement.RECENT_INFERENCE,
            window=timedelta(days=60),
            rule="Creating fine-tuning jobs is no longer available to organizations that have not run "
            "inference on a fine-tuned model in the past 60 days.",
        ),
        Phase(
            starts_on=date(2027, 1, 6),
            requirement=Requirement.CLOSED,
            rule="Active existing customers will no longer be able to create new fine-tuning jobs on this "
            "date.",
        ),
    ),
)
"""OpenAI's wind-down of self-serve fine-tuning, from its deprecations page (read 2026-11-22)."""
