"""Decide whether a job or an upload may go out, asking the API first where that can help."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import openai

from finetune_guard.domain.errors import (
    FineTuneGuardError,
    FineTuningRefusedError,
    KeepAliveError,
    ModelLifetimeError,
    UsageSyncError,
)
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine import telemetry
from finetune_guard.engine.decider import ASKABLE
from finetune_guard.engine.usage_sync import may_help
from finetune_guard.openai_api.errors import is_refusal, would_fail_alike
from finetune_guard.openai_api.flow import Flow, UserCall
from finetune_guard.openai_api.listing import Listing
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.rules import events, messages
from finetune_guard.rules.enforcement import Decision, Failure, Proceed, Stop, enforce
from finetune_guard.rules.keep_alive import KeepAlive, NotSent, is_due, limited_to

if TYPE_CHECKING:
    from finetune_guard.engine.guard import Guard

logger = logging.getLogger("finetune_guard")

_TO_CONFIRM = (Reason.CLOSED, Reason.REFUSED)
"""Reasons to ask the API again first: the clock may be off, or the refusal another organization's."""

_NOT_KNOWN_YET = "Another thread or process is sending one; whether it succeeds was not known in time."
_TRY_AGAIN = "Try again in a minute."


@dataclass
class Authorization:
    """The decision about one job or upload, after the requests that the configuration allows.

    An upload is checked like the job it is for, so that no file is uploaded for a job that is then stopped.
    If the guard's own requests failed because of the key or the connection, the call goes out: it can only
    fail in the same way.

    Attributes:
        admin_key: The key for reading usage.
        left: Returns the time left for all of this; None for no limit.
        url: The URL for creating jobs, shown in the error of a stopped call.
        may_ask: Whether the guard may send requests. False if the call goes to another host than the
            client's own, since the guard's requests and the admin key would go to the client's host.
        failures: The errors of the guard's requests.
        listing: What the API listed, if it was asked.
    """

    guard: Guard
    call: GuardedCall
    credentials: Credentials
    admin_key: str | None
    left: Callable[[], timedelta] | None
    url: str
    may_ask: bool
    failures: list[Failure] = field(default_factory=list, init=False)
    listing: Listing | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._decide = self.guard.decider.decide

    def admit(self, complain: Callable[[Exception], None]) -> Flow[None]:
        """Make the user's call or stop it, and record a refusal by the API.

        The guard's own failures go to ``complain`` and never end the call.
        """
        decision: Decision = Proceed()
        try:
            decision = yield from self._authorize(self.credentials)
        except openai.OpenAIError:
            raise
        except Exception as error:  # noqa: BLE001 -- it can be anything
            complain(error)
        if isinstance(decision, Stop):
            self._emit_stopped(decision.error)
            raise decision.error from decision.cause
        try:
            yield UserCall(decision.warnings)
        except openai.PermissionDeniedError as error:
            try:
                refused = self._refused(error)
            except Exception as failure:  # noqa: BLE001 -- it can be anything
                complain(failure)
                refused = None
            if refused is None:
                raise
            self._emit_stopped(refused)
            raise refused from error

    def _authorize(self, credentials: Credentials) -> Flow[Decision]:
        """Decide, after a usage sync and a keep-alive if they are due."""
        identification = self.guard.identification
        eligibility = self._decide(credentials)
        # The API's word on its models beats the tables and an earlier one.
        error = self._model_error(eligibility)
        must_confirm = eligibility.reason in _TO_CONFIRM and not identification.is_confirmed(credentials)
        if self.may_ask and (error is not None or eligibility.reason in ASKABLE or must_confirm):
            credentials, self.listing = yield from identification.identify(
                credentials, again=error is not None, confirm=True
            )
            if self.listing is not None and self.listing.failure is not None:
                self.failures.append(self.listing.failure)
            eligibility = self._decide(credentials)
            error = self._model_error(eligibility)
        if error is not None and not self._is_hopeless():
            error.eligibility = eligibility
            telemetry.trace_decision(self.call, eligibility, is_stopped=True)
            return Stop(error, *self.failures[-1:])
        if error is not None or not self.may_ask:
            return self._enforce(eligibility)
        if may_help(eligibility, self.admin_key):
            self.failures += yield from self.guard.usage.before_call(credentials, self.admin_key)
            eligibility = self._decide(credentials)
        keep_alive = self.guard.config.keep_alive
        if (
            keep_alive is not None
            and keep_alive.for_jobs
            and is_due(keep_alive, eligibility)
            and not self._is_hopeless()
        ):
            if self.listing is None:
                credentials, self.listing = yield from identification.identify(credentials)
            failure = yield from self._keep_alive_before(credentials, keep_alive)
            if failure is not None:
                self.failures.append(failure)
                if eligibility.ok:
                    logger.warning("The keep-alive failed; jobs can still be created: %s", failure)
            eligibility = self._decide(credentials)
        return self._enforce(eligibility)

    def _emit_stopped(self, error: FineTuneGuardError) -> None:
        self.guard.events.emit(lambda: events.job_stopped(self.call, error, self.guard.decider.now()))

    def _refused(self, error: openai.PermissionDeniedError) -> FineTuningRefusedError | None:
        """Record the API's refusal and return it as our error; None for any other error."""
        if not (isinstance(self.call, JobCreation) and is_refusal(error)):
            return None
        decider = self.guard.decider
        refusal = self.guard.observer.record_refusal(error, self.credentials)
        evidence, _ = decider.evidence(self.credentials)
        eligibility = decider.explain(evidence.model_copy(update={"refusal": refusal}), Reason.REFUSED)
        message = messages.stopped(self.call, eligibility, self.guard.config.policy)
        return FineTuningRefusedError(
            message, eligibility=eligibility, response=error.response, body=error.body
        )

    def _model_error(self, eligibility: Eligibility) -> ModelLifetimeError | None:
        """Return the error for a job whose model is shut down or too short-lived; None for any other call."""
        model = self.call.model if isinstance(self.call, JobCreation) else None
        if model is None or eligibility.reason is Reason.CLOSED:
            return None
        return self.guard.ends.lifetime_error(model, eligibility.checked_at)

    def _enforce(self, eligibility: Eligibility) -> Decision:
        call, config, failures = self.call, self.guard.config, self.failures
        decision = enforce(
            call, eligibility, config.policy, config.on_unknown, failures=failures, url=self.url
        )
        if isinstance(decision, Stop) and self._is_hopeless():
            return Proceed()
        telemetry.trace_decision(call, eligibility, is_stopped=isinstance(decision, Stop))
        if isinstance(decision, Stop) or not isinstance(call, JobCreation) or call.model is None:
            return decision
        warning = self.guard.ends.lifetime_warning(call.model, eligibility.checked_at)
        return decision if warning is None else Proceed((*decision.warnings, warning))

    def _keep_alive_before(
        self, credentials: Credentials, keep_alive: KeepAlive
    ) -> Flow[KeepAliveError | None]:
        """Send a keep-alive before the call, in the time left; return the error if it failed."""
        try:
            in_time = limited_to(keep_alive, self.left() if self.left is not None else None)
            sender = replace(self.guard.sender(credentials, in_time), listing=self.listing)
            outcome = yield from sender.run()
        except KeepAliveError as error:
            return error
        is_another_sending = outcome.reason is NotSent.ANOTHER_IS_SENDING
        return KeepAliveError(_NOT_KNOWN_YET, remedy=_TRY_AGAIN) if is_another_sending else None

    def _is_hopeless(self) -> bool:
        """Whether the user's own call can only fail as one of the guard's requests did."""
        has_answered = self.listing is not None and self.listing.reply is not None  # with the same key
        return any(
            _fails_alike(failure)
            for failure in self.failures
            if not (has_answered and isinstance(failure, openai.APIError))
        )


def _fails_alike(failure: Failure) -> bool:
    cause = failure if isinstance(failure, openai.APIError) else failure.__cause__
    used_other_key = isinstance(failure, UsageSyncError) and isinstance(cause, openai.AuthenticationError)
    return would_fail_alike(cause) and not used_other_key
