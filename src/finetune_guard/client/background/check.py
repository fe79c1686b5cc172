"""One check in the background: send a keep-alive if it is due, and tell when to check again."""

from __future__ import annotations

import logging
import random
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from finetune_guard.client.log import log
from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.guard import Guard
from finetune_guard.openai_api.flow import Flow, NotMadeError, Pause, give_up
from finetune_guard.rules.keep_alive import (
    LONGEST,
    KeepAlive,
    KeepAliveOutcome,
    NotSent,
    is_due,
    is_over,
    spread_out,
    until_due,
    until_retry,
)

_T = TypeVar("_T")

_LONGEST_PAUSE = timedelta(milliseconds=250)

# Of its own, since a program that has seeded the shared one counts on its order.
_lots = random.Random()  # noqa: S311 -- no secret


def reseed() -> None:
    """Let a process that was forked draw other lots than its parent."""
    _lots.seed()


class StoppedError(Exception):
    """The check has been told to stop."""


class Result(Protocol):
    """What came of one check, as far as all have it in common."""

    @property
    def next_in(self) -> timedelta:
        """How long to wait for the next one."""
        ...


_Result = TypeVar("_Result", bound=Result)


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Attributes:
        eligibility: What is known after it.
        next_in: How long to wait for the next one.
        outcome: What came of the keep-alive; None when none was tried, or it failed.
        failure: Why it failed, if so.
        sent_in_vain: Whether one is still due although it was sent.
    """

    eligibility: Eligibility
    next_in: timedelta
    outcome: KeepAliveOutcome | None = None
    failure: KeepAliveError | None = None
    sent_in_vain: bool = False

    @property
    def was_sent(self) -> bool:
        """Whether a keep-alive was sent and answered."""
        return self.outcome is not None and self.outcome.sent


class Check(ABC, Generic[_Result]):
    """One thing that is looked after; remembers how often that failed and what was told.

    Args:
        guard: Who decides and sends.
        keep_alive: When a keep-alive is due.
    """

    what = "the window"

    def __init__(self, guard: Guard, keep_alive: KeepAlive) -> None:
        self.keep_alive = spread_out(keep_alive, _lots.random())
        self.next_at = 0.0
        """When to check again, on the monotonic clock."""
        self._guard = guard
        self._failures = 0
        self._told: str | None = None

    @abstractmethod
    def run(self, credentials: Credentials) -> Flow[_Result]:
        """Send a keep-alive if one is due; without, nothing is asked of the API."""

    @abstractmethod
    def report(self, result: _Result) -> None:
        """Log what came of a check: whatever was sent, and everything else once until it changes."""

    def report_unexpected(self, error: BaseException) -> timedelta:
        """Log what should not have happened, once in a row; return how long to wait for the next check."""
        text = "".join(traceback.format_exception(error))
        kind = type(error).__name__
        message = f"finetune-guard can't check {self.what}, and tries again: %s\n%s"
        self._say(f"mishap {kind}", logging.WARNING, message, kind, text)
        return self._until_retry(None)

    def _until_retry(self, eligibility: Eligibility | None) -> timedelta:
        self._failures += 1
        return until_retry(self._failures, eligibility, _lots.random())

    def _say(self, what: str, level: int, message: str, *details: object) -> None:
        if what != self._told:
            self._told = what
            log(level, message, *details)


class BackgroundCheck(Check[CheckResult]):
    """Looks after the window of one organization.

    Args:
        guard: Who decides and sends.
        keep_alive: When one is due.
        model: The one model to send it to; by default the one used last, then others.
    """

    def __init__(self, guard: Guard, keep_alive: KeepAlive, model: str | None = None) -> None:
        super().__init__(guard, keep_alive)
        self._model = model

    def run(self, credentials: Credentials) -> Flow[CheckResult]:
        """Send a keep-alive if one is due; without, nothing is asked of the API."""
        outcome = failure = None
        if is_due(self.keep_alive, self._guard.decider.decide(credentials)):
            try:
                outcome = yield from self._guard.keep_alive(credentials, self.keep_alive, model=self._model)
            except KeepAliveError as error:
                failure = error
        eligibility = self._guard.decider.decide(credentials)
        in_vain = outcome is not None and outcome.sent and is_due(self.keep_alive, eligibility)
        undecided = outcome is not None and outcome.reason is NotSent.ANOTHER_IS_SENDING
        if failure is not None or undecided or eligibility.reason is Reason.HISTORY_UNAVAILABLE:
            next_in = self._until_retry(eligibility)
        else:
            self._failures = 0
            next_in = until_due(self.keep_alive, eligibility)
        if failure is not None and not failure.attempts:  # there is nothing that it could be sent to
            next_in = LONGEST
        return CheckResult(eligibility, next_in, outcome, failure, in_vain)

    def report(self, result: CheckResult) -> None:
        """Log what came of a check: whatever was sent, and everything else once until it changes."""
        eligibility = result.eligibility
        closes = _moment(eligibility.window_closes_at)
        if result.was_sent and result.outcome is not None:
            self._told = None
            log(
                logging.INFO,
                "finetune-guard sent a keep-alive: %s answered, and the window is open until %s.",
                result.outcome.model,
                closes,
            )
        if result.sent_in_vain:
            text = (
                "A keep-alive was answered, and yet another is due: do the API's clock and this one differ?"
            )
            self._say("in vain", logging.WARNING, text)
        elif result.failure is not None:
            text = "finetune-guard could not send a keep-alive, and tries again (the window closes: %s): %s"
            self._say("failed", logging.WARNING, text, closes, str(result.failure))
        elif eligibility.reason is Reason.REFUSED:
            text = (
                "The API has refused a job: no keep-alive is sent in the background until a later inference."
            )
            self._say("refused", logging.WARNING, text)
        elif is_over(eligibility):
            text = "Nobody can create fine-tuning jobs any more: no keep-alive is sent in the background."
            self._say("closed", logging.INFO, text)
        else:
            self._told = None


def until_stopped(flow: Flow[_T], is_stopped: Callable[[], bool]) -> Flow[_T]:
    """Return ``flow``, ended before its next step once ``is_stopped``; its pauses are cut into short ones.

    Raises:
        StoppedError: It was ended so.
    """
    try:
        step = next(flow)
        while True:
            if is_stopped():
                give_up(flow)
                raise StoppedError
            if isinstance(step, Pause) and step.duration > _LONGEST_PAUSE:
                yield Pause(_LONGEST_PAUSE)
                step = Pause(step.duration - _LONGEST_PAUSE)
                continue
            try:
                reply = yield step
            except NotMadeError:
                give_up(flow)
                raise
            except Exception as error:  # noqa: BLE001 -- the flow decides which errors it can handle
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        flow.close()


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "not known"
