"""Keeping the window open: when an inference is due, on which model, and how the smallest one is sent.

``is_due``, ``candidates`` and ``smallest_call`` are pure; ``send`` is a flow.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import openai
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from finetune_guard.domain.durations import Duration
from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.history import History
from finetune_guard.domain.model_ids import EXAMPLE_ID, FineTunedModel
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.str_enum import StrEnum
from finetune_guard.domain.validation import config_error
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.openai_api.errors import concerns_model, in_short, is_transient, retry_after
from finetune_guard.openai_api.flow import ApiCall, Flow, Pause, Reply, T
from finetune_guard.openai_api.listing import Listing, read_listing

if TYPE_CHECKING:
    from tenacity import RetryCallState

_AFTER_THE_END = timedelta(days=2)  # published days are ±1 day, and each lasts two days around the Earth
_MOST_CANDIDATES = 10
_NEVER_AUTOMATIC = (Reason.CLOSED, Reason.REFUSED, Reason.HISTORY_UNAVAILABLE, Reason.NOT_GUARDED)


class KeepAlive(BaseModel):
    """When and how a minimal inference is sent to stay inside the policy's window.

    It is sent before a job is created, and costs a few tokens. With ``background`` it is sent in between
    as well, by a program that runs for long.

    Attributes:
        renew_within: Renew when the window closes within this time; also ``"14d"`` or ISO 8601 text.
        model: The fine-tuned model to prefer; by default the one used last.
        deadline: The longest time that all tries together may take. If whoever sends one dies, another
            can take over half as long afterwards, or 30 seconds if that is less.
        background: Look after the window from a client's first answer until it is closed or dropped: in a
            daemon thread, or for an async client on asyncio's event loop. It wakes at least once an hour.

    Raises:
        GuardConfigError: A value is not allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    renew_within: Duration = timedelta(days=14)
    model: str | None = None
    deadline: Duration = timedelta(seconds=60)
    background: bool = False

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


class KeepAliveOutcome(BaseModel):
    """What came of a keep-alive.

    Attributes:
        sent: Whether an inference was sent and answered.
        model: The model that answered.
        at: When it answered, in UTC.
        reason: Why nothing was sent; None when something was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent: bool
    model: str | None = None
    at: UtcDatetime | None = None
    reason: NotSent | None = None


class KeepAlivePlan(BaseModel):
    """What a keep-alive would do, by what is known without asking the API.

    Attributes:
        due: Whether one would be sent.
        model: The model that it would be sent to first; None when none is known, so that the API would
            be asked for one.
        reason: Why none would be sent; None when one would.
        eligibility: The decision behind it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    due: bool
    model: str | None = None
    reason: NotSent | None = None
    eligibility: Eligibility


def is_due(keep_alive: KeepAlive, eligibility: Eligibility) -> bool:
    """Whether an inference should be sent: the window is lapsed, unknown, or closes within ``renew_within``.

    A window that outlives the creation of jobs needs no renewal. Where the API has refused, nothing is
    sent without being asked for: it would cost money at every try, and whether it helps is not published.
    """
    if eligibility.reason in _NEVER_AUTOMATIC:
        return False
    if eligibility.reason in (Reason.NO_REQUIREMENT, Reason.EARLIER_FINE_TUNING):
        return False
    closes, ends = eligibility.window_closes_at, eligibility.creation_ends_on
    if closes is not None and ends is not None and closes.date() - ends > _AFTER_THE_END:
        return False  # it is open for as long as jobs can be created
    return eligibility.remaining is None or eligibility.remaining <= keep_alive.renew_within


def candidates(history: History, preferred: str | None, dates: ShutdownDates, today: date) -> tuple[str, ...]:
    """Return the models to try: the preferred one, then those used last, without those shut down."""
    used = sorted(history.models.values(), key=lambda inference: inference.at, reverse=True)
    ids = [preferred] if preferred is not None else []
    return live([*ids, *(inference.model for inference in used)], dates, today)


def live(models: Iterable[str], dates: ShutdownDates, today: date) -> tuple[str, ...]:
    """Return the first ten of ``models`` that aren't known to be shut down, each once.

    Whatever a history that was tampered with may name: nothing is sent but to fine-tuned models.
    """
    tuned = (model for model in dict.fromkeys(models) if FineTunedModel.parse(model) is not None)
    alive = (model for model in tuned if not dates.is_over(model, today))
    return tuple(islice(alive, _MOST_CANDIDATES))


def smallest_call(model: str, timeout: timedelta) -> ApiCall:
    """Return the cheapest request that is an inference on ``model``: one token in, one token out.

    ``max_completion_tokens`` is what every chat model takes; reasoning models refuse ``max_tokens``.
    """
    return ApiCall(
        method="post",
        path="/chat/completions",
        json={
            "model": model,
            "messages": [{"role": "user", "content": "."}],
            "max_completion_tokens": 1,
        },
        timeout=timeout,
        retry=False,
    )


@dataclass(frozen=True)
class Sent:
    """A keep-alive that was answered.

    Attributes:
        model: The model that answered.
        reply: Its answer.
    """

    model: str
    reply: Reply


class _NothingLeftError(Exception):
    """Every candidate has been tried."""


def send(
    known: Iterable[str],
    *,
    left: Callable[[], timedelta],
    find_more: Callable[[Listing], Iterable[str]] | None,
    listing: Listing | None = None,
) -> Flow[Sent]:
    """Send the smallest inference to the first model that answers it.

    A model that answers 400, 403, 404 or 422 is left for the next one at once. After a rate limit, a
    server error or a lost connection the next try waits, with jitter and at least as long as the API
    asks for. When no candidate is left, the API is asked for more.

    Args:
        known: The candidates, the best first.
        left: Tells how much is left of the time that all tries together may take.
        find_more: Picks further candidates from what the API lists; None to try only ``known``.
        listing: What the API listed a moment ago; None when it wasn't asked.

    Raises:
        KeepAliveError: No model answered; it says why, model by model.
    """
    waiting = deque(known)
    failures: dict[str, str] = {}
    found: Listing | None = None
    last: openai.APIError | None = None

    def attempt() -> Flow[Sent]:
        nonlocal found, last
        if not waiting and find_more is not None and found is None:
            found = listing or (yield from read_listing())
            waiting.extend(model for model in find_more(found) if model not in failures)
        if not waiting:
            raise _NothingLeftError
        model = waiting.popleft()
        timeout = left()
        if timeout <= timedelta(0):  # others may take their turn soon after
            failures.setdefault(model, "no time was left")
            raise _NothingLeftError
        try:
            reply = yield smallest_call(model, timeout)
        except openai.APIError as error:
            last, failures[model] = error, in_short(error)
            if is_transient(error):
                waiting.append(model)
            raise
        assert reply is not None
        return Sent(model, reply)

    try:
        return (yield from _retried(attempt, left()))
    except (_NothingLeftError, openai.APIError) as error:
        raise _failed(failures, found) from (last or error)


def _failed(failures: dict[str, str], listing: Listing | None) -> KeepAliveError:
    if failures:
        tried = "; ".join(f"{model}: {why}" for model, why in failures.items())
        message = f"The keep-alive inference was not answered by any model. Tried {tried}."
        remedy = "Name a model that answers with KeepAlive(model=...) or keep_alive(model=...)."
    elif listing is not None and not listing.complete:
        message = "No fine-tuned model is known for a keep-alive, and the API would not list them all."
        remedy = "Use a key that may list models, or name one with keep_alive(model=...)."
    else:
        message = "No fine-tuned model that is still alive was found for a keep-alive."
        remedy = "Name one with keep_alive(model=...), or use a key of the project that has them."
    return KeepAliveError(f"{message} {remedy}", attempts=failures, remedy=remedy)


def _retried(attempt: Callable[[], Flow[T]], deadline: timedelta) -> Flow[T]:
    """Drive ``attempt`` by tenacity's rules; the waiting is left to whoever drives the flow."""
    from tenacity import (  # noqa: PLC0415 -- needed by few programs, and not free to import
        DoAttempt,
        DoSleep,
        RetryCallState,
        Retrying,
        retry_if_exception,
        stop_before_delay,
    )

    retrying = Retrying(
        reraise=True,
        retry=retry_if_exception(_is_worth_another_try),
        stop=stop_before_delay(deadline),
        wait=_wait(),
    )
    state = RetryCallState(retrying, fn=None, args=(), kwargs={})
    retrying.begin()
    while True:
        step = retrying.iter(retry_state=state)
        if isinstance(step, DoAttempt):
            try:
                result = yield from attempt()
            except (_NothingLeftError, openai.APIError):
                state.set_exception(sys.exc_info())  # type: ignore[arg-type]
            else:
                state.set_result(result)
        elif isinstance(step, DoSleep):
            state.prepare_for_next_attempt()
            yield Pause(timedelta(seconds=step))
        else:
            return step  # type: ignore[no-any-return]


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, openai.APIError) and (concerns_model(error) or is_transient(error))


def _wait() -> Callable[[RetryCallState], float]:
    from tenacity import wait_random_exponential  # noqa: PLC0415 -- as above

    backoff = wait_random_exponential(multiplier=0.5, max=8)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(error, openai.APIError) or concerns_model(error):
            return 0.0
        return max(retry_after(error), backoff(state))

    return wait
