"""When a keep-alive is due, which models it is sent to, and when the background checks again.

``keep_alive_attempts`` sends it to one model after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, field_validator

from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.history import History
from finetune_guard.domain.model_ids import EXAMPLE_ID, FineTunedModel
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.text import Line
from finetune_guard.domain.validation import Duration, config_error
from finetune_guard.domain.values import StrEnum, Value
from finetune_guard.domain.verdict import Eligibility, Reason

_AFTER_THE_END = timedelta(days=2)  # published days are ±1 day, and each lasts two days around the Earth
_MOST_CANDIDATES = 10
LONGEST, SHORTEST = timedelta(hours=1), timedelta(seconds=1)
"""Limits of the delay between two background checks. The upper one notices a suspended machine or a changed
clock in time; the lower one prevents a busy loop."""

_SPREAD = 0.05
_FIRST_RETRY = timedelta(minutes=1)
_TRIES_LEFT, _MOST_DOUBLINGS = 10, 10
_NEVER_AUTOMATIC = (Reason.CLOSED, Reason.REFUSED, Reason.HISTORY_UNAVAILABLE, Reason.NOT_GUARDED)
_WITHOUT_WINDOW = (Reason.NO_REQUIREMENT, Reason.EARLIER_FINE_TUNING)


class KeepAlive(Value):
    """When and how a minimal inference is sent to stay inside the policy's window.

    It is sent before a job is created, and costs a few tokens. With ``background``, a long-running program
    also sends it in between.

    Attributes:
        renew_within: Renew when the window closes within this time; also ``"14d"`` or ISO 8601 text.
        model: The fine-tuned model to prefer; by default the one used last.
        deadline: The longest time that all tries together may take. If the sending process dies, another
            can take over half as long afterwards, or 30 seconds if that is less.
        background: Keep the window open from a client's first response until the client is closed or
            dropped: in a daemon thread or, for an async client, on asyncio's event loop. It wakes at least
            once an hour.
        deployments: Deployments to keep alive that would be deleted when nobody calls them: a name, or
            ``RESOURCE/NAME``. Each goes on being billed by the hour. If any are given, no automatic
            keep-alive is sent for jobs unless ``jobs`` is set.
        jobs: Whether to keep the window for creating jobs open in addition to ``deployments``.

    Raises:
        GuardConfigError: A value is not allowed.
    """

    renew_within: Duration = timedelta(days=14)
    model: str | None = None
    deadline: Duration = timedelta(seconds=60)
    background: bool = False
    deployments: Sequence[Line] = ()
    jobs: bool = False

    @property
    def for_jobs(self) -> bool:
        """Whether keep-alives are sent automatically to keep the window for creating jobs open."""
        return self.jobs or not self.deployments

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise config_error("KeepAlive", error, fields=type(self).model_fields) from None

    @field_validator("model")
    @classmethod
    def _model_is_fine_tuned(cls, model: str | None) -> str | None:
        if model is not None and FineTunedModel.parse(model) is None:
            raise ValueError(f"a fine-tuned model's id is required, such as {EXAMPLE_ID}")
        return model


class NotSent(StrEnum):
    """Why a keep-alive was not sent."""

    NOT_DUE = "not_due"
    RENEWED_BY_ANOTHER = "renewed_by_another"
    ANOTHER_IS_SENDING = "another_is_sending"
    CREATION_CLOSED = "creation_closed"
    REFUSED = "refused"
    HISTORY_UNAVAILABLE = "history_unavailable"
    NOT_GUARDED = "not_guarded"
    DEPLOYMENT_GONE = "deployment_gone"
    FORGOTTEN = "forgotten"


class KeepAliveOutcome(Value):
    """The result of a keep-alive: the model that answered and when (UTC), or why nothing was sent."""

    sent: bool
    model: str | None = None
    at: UtcDatetime | None = None
    reason: NotSent | None = None


class KeepAlivePlan(Value):
    """What a keep-alive would do now, without asking the API.

    Attributes:
        model: The model that it would be sent to first; None if the API would be asked for one.
        reason: Why none would be sent; None if one would.
    """

    due: bool
    model: str | None = None
    reason: NotSent | None = None
    eligibility: Eligibility


def is_due(keep_alive: KeepAlive, eligibility: Eligibility) -> bool:
    """Whether an inference should be sent: the window is closed, unknown, or closes within ``renew_within``.

    A window that outlasts the creation of jobs needs no renewal. After a refusal by the API, nothing is sent
    automatically: each try would cost money, and whether it helps is not published.
    """
    if eligibility.reason in _NEVER_AUTOMATIC + _WITHOUT_WINDOW or outlasts_creation(eligibility):
        return False
    due = due_at(keep_alive, eligibility)
    return due is None or due <= eligibility.checked_at


def due_at(keep_alive: KeepAlive, eligibility: Eligibility) -> datetime | None:
    """Return when an open window is to be renewed; None if it isn't open or needs no renewal."""
    closes, window = eligibility.window_closes_at, eligibility.phase.window
    if closes is None or outlasts_creation(eligibility):
        return None
    renew_within = keep_alive.renew_within
    if (
        window is not None and renew_within >= window
    ):  # otherwise it would be due again as soon as it was sent
        renew_within = window / 2
    return closes - renew_within


def outlasts_creation(eligibility: Eligibility) -> bool:
    """Whether the window is open for as long as jobs can be created."""
    closes, ends = eligibility.window_closes_at, eligibility.creation_ends_on
    return closes is not None and ends is not None and closes.date() - ends > _AFTER_THE_END


def limited_to(keep_alive: KeepAlive, left: timedelta | None) -> KeepAlive:
    """Return the policy with its deadline limited to ``left``; raise KeepAliveError if no time is left."""
    if left is None:
        return keep_alive
    if left <= timedelta(0):
        message = "The call's timeout left no time for a keep-alive."
        raise KeepAliveError(message, remedy="Give the call a longer timeout.")
    return keep_alive.model_copy(update={"deadline": min(keep_alive.deadline, left)})


def candidates(history: History, preferred: str | None, dates: ShutdownDates, today: date) -> tuple[str, ...]:
    """Return the models to try: the preferred one, then those used last, without those shut down."""
    used = sorted(history.models.values(), key=lambda inference: inference.at, reverse=True)
    ids = [preferred] if preferred is not None else []
    return usable_models([*ids, *(inference.model for inference in used)], dates, today)


def usable_models(models: Iterable[str], dates: ShutdownDates, today: date) -> tuple[str, ...]:
    """Return the first ten of ``models`` that aren't known to be shut down, without duplicates.

    Only fine-tuned models are returned, even if the history was tampered with.
    """
    tuned = (model for model in dict.fromkeys(models) if FineTunedModel.parse(model) is not None)
    alive = (model for model in tuned if not dates.is_over(model, today))
    return tuple(islice(alive, _MOST_CANDIDATES))


def with_jitter(keep_alive: KeepAlive, lot: float) -> KeepAlive:
    """Return the policy with a ``renew_within`` that is up to a twentieth shorter.

    ``lot`` is a random number from 0 to 1, so that processes started together don't all wake together.
    """
    return keep_alive.model_copy(update={"renew_within": keep_alive.renew_within * (1 - _SPREAD * lot)})


def delay_until_due(keep_alive: KeepAlive, eligibility: Eligibility) -> timedelta:
    """Return the delay until a keep-alive is due; the longest one if it is due already or unknown."""
    due = due_at(keep_alive, eligibility)
    if due is None or is_due(keep_alive, eligibility):
        return LONGEST
    return bounded(due - eligibility.checked_at)


def retry_delay(failures: int, eligibility: Eligibility | None, lot: float) -> timedelta:
    """Return the delay after a failure: doubled each time, with a jitter of up to half.

    It leaves room for at least ten more tries before an open window closes.
    """
    longest = _FIRST_RETRY * 2 ** min(failures - 1, _MOST_DOUBLINGS)
    if eligibility is not None and eligibility.remaining is not None:
        longest = min(longest, eligibility.remaining / _TRIES_LEFT)
    return bounded(min(longest, LONGEST) * (1 - lot / 2))


def is_over(eligibility: Eligibility) -> bool:
    """Whether keep-alives no longer help, because nobody can create jobs any more."""
    return eligibility.reason is Reason.CLOSED


def bounded(wait: timedelta) -> timedelta:
    """Return ``wait`` limited to the range from ``SHORTEST`` to ``LONGEST``."""
    return max(SHORTEST, min(wait, LONGEST))
