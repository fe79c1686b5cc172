"""Decide whether a job or an upload may go out, asking the API first where that can help."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

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
from finetune_guard.engine.decider import ASKABLE, Decider
from finetune_guard.engine.identification import Identification
from finetune_guard.engine.keep_alive import KeepAliveSender
from finetune_guard.engine.observer import Observer
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.engine.usage_sync import UsageReader, may_help
from finetune_guard.openai_api.errors import is_refusal, would_fail_alike
from finetune_guard.openai_api.flow import Flow, UserCall
from finetune_guard.openai_api.listing import Listing
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.rules import events, messages
from finetune_guard.rules.enforcement import Decision, Failure, Proceed, Stop, enforce
from finetune_guard.rules.keep_alive import KeepAlive, NotSent, is_due, limited_to

logger = logging.getLogger("finetune_guard")

_TO_CONFIRM = (Reason.CLOSED, Reason.REFUSED)
"""Reasons to ask the API again first: the clock may be off, or the refusal another organization's."""

_NOT_KNOWN_YET = "Another thread or process is sending one; whether it succeeds was not known in time."
_TRY_AGAIN = "Try again in a minute."


@dataclass(frozen=True)
class Authorization:
    """Decides about jobs and uploads, after the requests that the configuration allows."""

    decider: Decider
    identification: Identification
    usage: UsageReader
    ends: ModelEnds
    observer: Observer

    def authorize(
        self,
        call: GuardedCall,
        credentials: Credentials,
        admin_key: str | None = None,
        left: Callable[[], timedelta] | None = None,
        *,
        url: str | None = None,
        may_ask: bool = True,
    ) -> Flow[Decision]:
        """Decide about a call, after a usage sync and a keep-alive if they are due.

        An upload is checked like the job it is for, so that no file is uploaded for a job that is then
        stopped. If the guard's own requests failed because of the key or the connection, the call goes out:
        it can only fail in the same way.

        Args:
            call: A job or an upload for fine-tuning.
            credentials: The credentials it is sent with.
            admin_key: The key for reading usage.
            left: Returns the time left for all of this; None for no limit.
            url: The URL for creating jobs, shown in the error of a stopped call.
            may_ask: Whether the guard may send requests. False if the call goes to another host than the
                client's own, since the guard's requests and the admin key would go to the client's host.
        """
        eligibility = self.decider.decide(credentials)
        failures: list[Failure] = []
        listing: Listing | None = None
        # The API's word on its models beats the tables and an earlier one.
        model_ends = self._model_error(call, eligibility) is not None
        must_ask = eligibility.reason in ASKABLE or self._is_to_be_confirmed(eligibility, credentials)
        if may_ask and (model_ends or must_ask):
            credentials, listing = yield from self.identification.identify(
                credentials, again=model_ends, confirm=True
            )
            if listing is not None and listing.failure is not None:
                failures.append(listing.failure)
            eligibility = self.decider.decide(credentials)
        error = self._model_error(call, eligibility)
        if error is not None and not _is_hopeless(failures, listing):
            error.eligibility = eligibility
            telemetry.trace_decision(call, eligibility, is_stopped=True)
            return Stop(error, *failures[-1:])
        if error is not None or not may_ask:
            return self._enforce(call, eligibility, failures, listing, url=url)
        if may_help(eligibility, admin_key):
            failures += yield from self.usage.before_call(credentials, admin_key)
            eligibility = self.decider.decide(credentials)
        keep_alive = self.decider.config.keep_alive
        if (
            keep_alive is not None
            and keep_alive.for_jobs
            and is_due(keep_alive, eligibility)
            and not _is_hopeless(failures, listing)
        ):
            if listing is None:
                credentials, listing = yield from self.identification.identify(credentials)
            failure = yield from self._keep_alive_before(credentials, keep_alive, left, listing)
            if failure is not None:
                failures.append(failure)
                if eligibility.ok:
                    logger.warning("The keep-alive failed; jobs can still be created: %s", failure)
            eligibility = self.decider.decide(credentials)
        return self._enforce(call, eligibility, failures, listing, url=url)

    def admit(
        self,
        call: GuardedCall,
        decision: Flow[Decision],
        credentials: Credentials,
        complain: Callable[[Exception], None],
    ) -> Flow[None]:
        """Make the user's call or stop it, as ``decision`` says, and record a refusal by the API.

        The guard's own failures go to ``complain`` and never end the call.
        """
        decided: Decision = Proceed()
        try:
            decided = yield from decision
        except openai.OpenAIError:
            raise
        except Exception as error:  # noqa: BLE001 -- it can be anything
            complain(error)
        if isinstance(decided, Stop):
            self._emit_stopped(call, decided.error)
            raise decided.error from decided.cause
        try:
            yield UserCall(decided.warnings)
        except openai.PermissionDeniedError as error:
            try:
                refused = self._refused(call, error, credentials)
            except Exception as failure:  # noqa: BLE001 -- it can be anything
                complain(failure)
                refused = None
            if refused is None:
                raise
            self._emit_stopped(call, refused)
            raise refused from error

    def _emit_stopped(self, call: GuardedCall, error: FineTuneGuardError) -> None:
        self.decider.events.emit(lambda: events.job_stopped(call, error, self.decider.now()))

    def _refused(
        self, call: GuardedCall, error: openai.PermissionDeniedError, credentials: Credentials
    ) -> FineTuningRefusedError | None:
        """Record the API's refusal and return it as our error; None for any other error."""
        if not (isinstance(call, JobCreation) and is_refusal(error)):
            return None
        refusal = self.observer.record_refusal(error, credentials)
        evidence, _ = self.decider.evidence(credentials)
        eligibility = self.decider.explain(evidence.model_copy(update={"refusal": refusal}), Reason.REFUSED)
        message = messages.stopped(call, eligibility, self.decider.config.policy)
        return FineTuningRefusedError(
            message, eligibility=eligibility, response=error.response, body=error.body
        )

    def _is_to_be_confirmed(self, eligibility: Eligibility, credentials: Credentials) -> bool:
        return eligibility.reason in _TO_CONFIRM and not self.identification.is_confirmed(credentials)

    def _model_error(self, call: GuardedCall, eligibility: Eligibility) -> ModelLifetimeError | None:
        """Return the error for a job whose model is shut down or too short-lived; None for any other call."""
        if not isinstance(call, JobCreation) or call.model is None or eligibility.reason is Reason.CLOSED:
            return None
        return self.ends.lifetime_error(call.model, eligibility.checked_at)

    def _enforce(
        self,
        call: GuardedCall,
        eligibility: Eligibility,
        failures: Sequence[Failure] = (),
        listing: Listing | None = None,
        *,
        url: str | None,
    ) -> Decision:
        on_unknown = self.decider.config.on_unknown
        decision = enforce(
            call, eligibility, self.decider.config.policy, on_unknown, failures=failures, url=url
        )
        if isinstance(decision, Stop) and _is_hopeless(failures, listing):
            return Proceed()
        telemetry.trace_decision(call, eligibility, is_stopped=isinstance(decision, Stop))
        if isinstance(decision, Stop) or not isinstance(call, JobCreation) or call.model is None:
            return decision
        warning = self.ends.lifetime_warning(call.model, eligibility.checked_at)
        return decision if warning is None else Proceed((*decision.warnings, warning))

    def _keep_alive_before(
        self,
        credentials: Credentials,
        keep_alive: KeepAlive,
        left: Callable[[], timedelta] | None,
        listing: Listing | None,
    ) -> Flow[KeepAliveError | None]:
        """Send a keep-alive before a call, in the time left; return the error if it failed."""
        try:
            in_time = limited_to(keep_alive, left() if left is not None else None)
            sender = KeepAliveSender(
                in_time, self.decider, self.ends, self.identification, credentials, listing=listing
            )
            outcome = yield from sender.run()
        except KeepAliveError as error:
            return error
        is_another_sending = outcome.reason is NotSent.ANOTHER_IS_SENDING
        return KeepAliveError(_NOT_KNOWN_YET, remedy=_TRY_AGAIN) if is_another_sending else None


def _is_hopeless(failures: Sequence[Failure], listing: Listing | None) -> bool:
    """Whether the user's own call can only fail as one of the guard's requests did."""
    has_answered = listing is not None and listing.reply is not None  # to a request with the same key
    return any(
        _fails_alike(failure)
        for failure in failures
        if not (has_answered and isinstance(failure, openai.APIError))
    )


def _fails_alike(failure: Failure) -> bool:
    cause = failure if isinstance(failure, openai.APIError) else failure.__cause__
    used_other_key = isinstance(failure, UsageSyncError) and isinstance(cause, openai.AuthenticationError)
    return would_fail_alike(cause) and not used_other_key
