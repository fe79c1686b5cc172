"""Deciding about a job or an upload, after asking the API and sending a keep-alive where these are due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import openai

from finetune_guard.domain.errors import KeepAliveError, UsageSyncError
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine import telemetry
from finetune_guard.engine.decider import ASKABLE, Decider
from finetune_guard.engine.identification import Identification
from finetune_guard.engine.keep_alive import KeepAliveSender
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.engine.usage_reader import UsageReader, may_help
from finetune_guard.openai_api.errors import would_fail_alike
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.listing import Listing
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.rules.enforcement import Decision, Failure, Proceed, Stop, enforce
from finetune_guard.rules.keep_alive import KeepAlive, NotSent, is_due, within

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

_TO_CONFIRM = (Reason.CLOSED, Reason.REFUSED)
"""What stops a call for good: by the time, or by a refusal that was another organization's perhaps."""

_NOT_KNOWN_YET = "Another thread or process is sending one; whether it succeeds was not known in time."
_TRY_AGAIN = "Try again in a minute."


class Authorization:
    """Decides about jobs and uploads, after asking and sending what the configuration allows."""

    def __init__(
        self,
        config: GuardConfig,
        decider: Decider,
        identification: Identification,
        usage: UsageReader,
        ends: ModelEnds,
        *,
        sender: Callable[[KeepAlive, Credentials], KeepAliveSender],
    ) -> None:
        self._config = config
        self._decider = decider
        self._identification = identification
        self._usage = usage
        self._ends = ends
        self._sender = sender

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
        """Decide about a call, after reading the usage and sending a keep-alive where these are due.

        An upload asks what the job would ask, so that no file is uploaded for a job that is then stopped.
        A call that can only fail as the guard's own requests did, by its key or for want of a connection,
        goes out.

        Args:
            call: A job or an upload for fine-tuning.
            credentials: What it is sent with.
            admin_key: The key that the usage is read with; None where there is none.
            left: Tells how much is left of the time that all of this may take; None for no limit.
            url: Where jobs are created, for the error of a call that is stopped.
            may_ask: Whether the API may be asked. It may not where the call goes to another host than the
                client's own: whatever would be asked, and the admin key with it, would go to the latter.
        """
        eligibility = self._decider.decide(credentials)
        failures: list[Failure] = []
        listing: Listing | None = None
        if may_ask and (eligibility.reason in ASKABLE or self._is_to_be_confirmed(eligibility, credentials)):
            credentials, listing = yield from self._identification.identify(credentials, confirm=True)
            if listing is not None and listing.failure is not None:
                failures.append(listing.failure)
            eligibility = self._decider.decide(credentials)
        stopped = self._stop_for_model(call, eligibility)
        if stopped is not None or not may_ask:
            return stopped or self._enforce(call, eligibility, url=url)
        if may_help(eligibility, admin_key):
            failures += yield from self._usage.before_call(credentials, admin_key)
            eligibility = self._decider.decide(credentials)
        keep_alive = self._config.keep_alive
        if keep_alive is not None and not keep_alive.for_jobs:
            keep_alive = None
        if keep_alive is not None and is_due(keep_alive, eligibility) and not _is_hopeless(failures, listing):
            if listing is None:
                credentials, listing = yield from self._identification.identify(credentials)
            failure = yield from self._keep_alive_before(credentials, keep_alive, left, listing)
            if failure is not None:
                failures.append(failure)
                if eligibility.ok:
                    logger.warning("The keep-alive failed; jobs can still be created: %s", failure)
            eligibility = self._decider.decide(credentials)
        return self._enforce(call, eligibility, failures, listing, url=url)

    def _is_to_be_confirmed(self, eligibility: Eligibility, credentials: Credentials) -> bool:
        return eligibility.reason in _TO_CONFIRM and not self._identification.is_confirmed(credentials)

    def _stop_for_model(self, call: GuardedCall, eligibility: Eligibility) -> Stop | None:
        """Return what stops a job for its model's sake; None where nothing does, or creation is closed."""
        if not isinstance(call, JobCreation) or call.model is None or eligibility.reason is Reason.CLOSED:
            return None
        error = self._ends.stops(call.model, eligibility.checked_at)
        if error is None:
            return None
        error.eligibility = eligibility
        telemetry.note_decision(call, eligibility, is_stopped=True)
        return Stop(error)

    def _enforce(
        self,
        call: GuardedCall,
        eligibility: Eligibility,
        failures: Sequence[Failure] = (),
        listing: Listing | None = None,
        *,
        url: str | None,
    ) -> Decision:
        on_unknown = self._config.on_unknown
        decision = enforce(call, eligibility, self._config.policy, on_unknown, failures=failures, url=url)
        if isinstance(decision, Stop) and _is_hopeless(failures, listing):
            return Proceed()
        telemetry.note_decision(call, eligibility, is_stopped=isinstance(decision, Stop))
        if isinstance(decision, Stop) or not isinstance(call, JobCreation) or call.model is None:
            return decision
        short_lived = self._ends.short_lived(call.model, eligibility.checked_at)
        return decision if short_lived is None else Proceed((*decision.warnings, short_lived))

    def _keep_alive_before(
        self,
        credentials: Credentials,
        keep_alive: KeepAlive,
        left: Callable[[], timedelta] | None,
        listing: Listing | None,
    ) -> Flow[KeepAliveError | None]:
        """Send a keep-alive before a call, in the time that is left; return why it failed, if it did."""
        try:
            in_time = within(keep_alive, left() if left is not None else None)
            outcome = yield from self._sender(in_time, credentials).run(listing=listing)
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
