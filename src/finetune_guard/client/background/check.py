"""One background check: send the keep-alives that are due, and compute when to check again."""

from __future__ import annotations

import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from finetune_guard import process
from finetune_guard.domain.errors import KeepAliveError, StoreError
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.keep_alive import DeploymentSender
from finetune_guard.logs import log
from finetune_guard.openai_api.flow import Flow
from finetune_guard.rules.deployments import deployment_delay
from finetune_guard.rules.idle_messages import kept_alive
from finetune_guard.rules.keep_alive import (
    LONGEST,
    KeepAlive,
    KeepAliveOutcome,
    NotSent,
    delay_until_due,
    is_due,
    is_over,
    retry_delay,
    with_jitter,
)


class Check(ABC):
    """A repeated check for a guarded client; it keeps count of failures and holds no client."""

    what = "the window"

    def __init__(self, client: Any) -> None:
        self._guard = client._finetune_guard.engine  # noqa: SLF001 -- the client's other half
        self.keep_alive = with_jitter(self._guard.config.keep_alive or KeepAlive(), process.jitter.random())
        self.next_at = 0.0
        """When to check again, on the monotonic clock."""
        self._failures = 0
        self._last_logged: str | None = None

    @abstractmethod
    def run(self, client: Any) -> Flow[Any]:
        """Send the keep-alives that are due; if none is, send no request."""

    @abstractmethod
    def report(self, result: Any) -> None:
        """Log the result of a check: every keep-alive sent, and anything else once until it changes."""

    def once(self, client: Any, **options: Any) -> Any:
        """Check now, with a sync client; the result includes the delay until the next check."""
        client._guard_refresh_key(only_missing=True)  # noqa: SLF001 -- the client's other half
        return client._guard_drive(self.run(client, **options))  # noqa: SLF001 -- too

    def report_unexpected(self, error: BaseException) -> timedelta:
        """Log an unexpected error, once in a row; return the delay until the next check."""
        kind, text = type(error).__name__, "".join(traceback.format_exception(error))
        message = f"finetune-guard can't check {self.what}, and tries again: %s\n%s"
        self._log_if_new(f"unexpected {kind}", logging.WARNING, message, kind, text)
        return self._until_retry(None)

    def _until_retry(self, eligibility: Eligibility | None) -> timedelta:
        self._failures += 1
        return retry_delay(self._failures, eligibility, process.jitter.random())

    def _log_if_new(self, what: str, level: int, message: str, *details: object) -> None:
        if what != self._last_logged:
            self._last_logged = what
            log(level, message, *details)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of a window, and the delay until the next one.

    ``outcome`` is None when no keep-alive was tried, or it failed; ``sent_in_vain`` tells that another one is
    due although it was sent.
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


class WindowCheck(Check):
    """Keeps the window of one organization open, with keep-alives to one model if that is given."""

    def __init__(self, client: Any, model: str | None = None) -> None:
        super().__init__(client)
        self._model = model

    def run(self, client: Any) -> Flow[CheckResult]:
        """Send a keep-alive if one is due; otherwise send no request."""
        credentials, decide = client._guard_credentials(), self._guard.decider.decide  # noqa: SLF001 -- as above
        outcome = failure = None
        if is_due(self.keep_alive, decide(credentials)):
            try:
                sender = self._guard.sender(credentials, self.keep_alive, model=self._model)
                outcome = yield from sender.send()
            except KeepAliveError as error:
                failure = error
        eligibility = decide(credentials)
        in_vain = outcome is not None and outcome.sent and is_due(self.keep_alive, eligibility)
        undecided = outcome is not None and outcome.reason is NotSent.ANOTHER_IS_SENDING
        if failure is not None or undecided or eligibility.reason is Reason.HISTORY_UNAVAILABLE:
            next_in = self._until_retry(eligibility)
        else:
            self._failures = 0
            next_in = delay_until_due(self.keep_alive, eligibility)
        if failure is not None and not failure.attempts:  # there is nothing that it could be sent to
            next_in = LONGEST
        return CheckResult(eligibility, next_in, outcome, failure, in_vain)

    def report(self, result: CheckResult) -> None:
        """Log the result of a check: every keep-alive sent, and anything else once until it changes."""
        eligibility, outcome = result.eligibility, result.outcome
        closes = _moment(eligibility.window_closes_at)
        if outcome is not None and outcome.sent:
            self._last_logged = None
            text = "finetune-guard sent a keep-alive: %s answered, and the window is open until %s."
            log(logging.INFO, text, outcome.model, closes)
        if result.sent_in_vain:
            text = (
                "A keep-alive was answered, and yet another is due: do the API's clock and this one differ?"
            )
            self._log_if_new("in vain", logging.WARNING, text)
        elif result.failure is not None:
            text = "finetune-guard could not send a keep-alive, and tries again (the window closes: %s): %s"
            self._log_if_new("failed", logging.WARNING, text, closes, str(result.failure))
        elif eligibility.reason is Reason.REFUSED:
            text = (
                "The API has refused a job: no keep-alive is sent in the background until a later inference."
            )
            self._log_if_new("refused", logging.WARNING, text)
        elif is_over(eligibility):
            text = "Nobody can create fine-tuning jobs any more: no keep-alive is sent in the background."
            self._log_if_new("closed", logging.INFO, text)
        else:
            self._last_logged = None


@dataclass(frozen=True)
class DeploymentsChecked:
    """The result of one check of deployments, by name, and the delay until the next one.

    In the outcomes a deployment's name is the ``model``.
    """

    next_in: timedelta
    outcomes: tuple[KeepAliveOutcome, ...]
    failures: dict[str, KeepAliveError]

    def without(self, names: Collection[str | None]) -> DeploymentsChecked:
        """Return the result without the outcomes of some deployments."""
        return replace(self, outcomes=tuple(each for each in self.outcomes if each.model not in names))

    @property
    def is_well(self) -> bool:
        """Whether every keep-alive that was due was answered."""
        bad = (NotSent.DEPLOYMENT_GONE, NotSent.HISTORY_UNAVAILABLE)
        return not self.failures and not any(each.reason in bad for each in self.outcomes)


class DeploymentCheck(Check):
    """Keeps deployments of a client's resource alive: the named ones, or those configured."""

    what = "the deployments"

    def __init__(self, client: Any, names: tuple[str, ...] | None = None) -> None:
        super().__init__(client)
        self.resource = client._guard_resource()  # noqa: SLF001 -- as above
        self.names: tuple[str, ...] = self.resource.names_to_keep_alive(names)

    def run(self, client: Any, *, force: bool = False, only_plan: bool = False) -> Flow[DeploymentsChecked]:
        """Send a keep-alive to each deployment that is about to end; if none is, send no request."""
        at, decider = client._guard_deployments_at(), self._guard.decider  # noqa: SLF001 -- as above
        outcomes: list[KeepAliveOutcome] = []
        failures: dict[str, KeepAliveError] = {}
        wait = LONGEST
        for name in self.names:
            try:
                sender = DeploymentSender(self.keep_alive, decider, self.resource, name, at, force)
                outcomes.append(sender.plan() if only_plan else (yield from sender.run()))
            except KeepAliveError as error:
                failures[name] = error
            wait = min(wait, self._until_due(name))
        if failures or any(each.reason is NotSent.ANOTHER_IS_SENDING for each in outcomes):
            wait = min(wait, self._until_retry(None))
        else:
            self._failures = 0
        return DeploymentsChecked(wait, tuple(outcomes), failures)

    def _until_due(self, name: str) -> timedelta:
        try:
            deployment = self.resource.status_of(name)
        except StoreError:
            return LONGEST
        return deployment_delay(self.keep_alive, deployment, self._guard.decider.now())

    def lines(self, result: DeploymentsChecked) -> list[str]:
        """Return the result of a check, in a sentence or two for each deployment."""
        sentences = [kept_alive(each, self.resource.policy) for each in result.outcomes]
        for name, error in result.failures.items():
            why = f"{error.attempts[name]}." if name in error.attempts else error
            sentences.append(f"Not sent to {name}: {why}")
        return sentences

    def report(self, result: DeploymentsChecked) -> None:
        """Log every keep-alive sent, and each failure once until it changes."""
        for each in result.outcomes:
            if each.sent:
                log(logging.INFO, "finetune-guard: %s", kept_alive(each, self.resource.policy))
        if result.is_well:
            self._last_logged = None
        else:
            text = " ".join(self.lines(result))
            self._log_if_new(text, logging.WARNING, "finetune-guard: %s", text)


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "not known"
