"""Senders of keep-alives, for an organization's window and for a single deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import openai

from finetune_guard.domain.errors import KeepAliveError, StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.idle_policy import Operation
from finetune_guard.domain.organizations import UNNAMED, Credentials
from finetune_guard.domain.verdict import Reason
from finetune_guard.engine.deployments import Resource
from finetune_guard.engine.identification import Identification
from finetune_guard.engine.one_sender import OneSender
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.completions import completing_model, valid_model_name
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.listing import Listing
from finetune_guard.recording.pending import new_facts
from finetune_guard.rules.deployments import reason_not_to_keep
from finetune_guard.rules.keep_alive import (
    KeepAliveOutcome,
    KeepAlivePlan,
    NotSent,
    candidates,
    is_due,
    usable_models,
)
from finetune_guard.rules.keep_alive_attempts import Attempts, Sent, smallest_call

_NEVER_UNFORCED = {
    Reason.CLOSED: NotSent.CREATION_CLOSED,
    Reason.REFUSED: NotSent.REFUSED,
    Reason.HISTORY_UNAVAILABLE: NotSent.HISTORY_UNAVAILABLE,
}


@dataclass(frozen=True)
class KeepAliveSender(OneSender):
    """Sends the keep-alives of one policy, never two at once for an organization.

    Without a ``model``, the one used last is tried first, then others. A ``listing`` is what the API has just
    listed, so that it isn't asked again.
    """

    ends: ModelEnds
    identification: Identification
    credentials: Credentials
    force: bool = False
    model: str | None = None
    listing: Listing | None = None

    def send(self) -> Flow[KeepAliveOutcome]:
        """Identify the credentials' organization unless it is known, then ``run``."""
        credentials, listing = yield from self.identification.identify(self.credentials)
        return (yield from replace(self, credentials=credentials, listing=listing).run())

    def plan(self) -> KeepAlivePlan:
        """Return what ``run`` would do now, without sending any request."""
        eligibility = self.decider.decide(self.credentials)
        reason = self._reason_not_to()
        if reason is not None:
            return KeepAlivePlan(due=False, reason=reason, eligibility=eligibility)
        model = self.model or next(iter(self._known()), None)
        return KeepAlivePlan(due=True, model=model, eligibility=eligibility)

    @property
    def _lease(self) -> str:
        return f"keep-alive/{self.decider.decide(self.credentials).organization or UNNAMED}"

    def _reason_not_to(self) -> NotSent | None:
        eligibility = self.decider.decide(self.credentials)
        if self.force or is_due(self.keep_alive, eligibility):
            return None
        return _NEVER_UNFORCED.get(eligibility.reason, NotSent.NOT_DUE)

    def _attempts(self, left: Callable[[], timedelta]) -> Attempts:
        if self.model is not None:
            return Attempts([self.model], left)
        now = self.decider.now()
        dates, today = self.ends.read(now), now.date()

        def find_more(listing: Listing) -> tuple[str, ...]:
            self.identification.record(listing)
            return usable_models(listing.newest_first, dates, today)

        return Attempts(self._known(), left, find_more, self.listing)

    def _newest_fact(self) -> datetime | None:
        refusal = self.decider.decide(self.credentials).refusal
        return refusal.at if refusal is not None else None

    def _record(self, sent: Sent, at: datetime) -> str | None:
        self.decider.recorder.record(sent.reply.subject, sent.model, Source.KEEP_ALIVE, at)
        return sent.reply.subject.organization

    def _record_failure(self, _error: KeepAliveError) -> str | None:
        subject = self.decider.subject_of(self.credentials)
        self.decider.recorder.merge(subject, new_facts(keep_alive_failed_at=self.decider.now()))
        return subject.organization

    def _known(self) -> tuple[str, ...]:
        history, now = self.decider.history(self.credentials), self.decider.now()
        return candidates(history, self.keep_alive.model, self.ends.read(now), now.date())


def _shows_completion(answer: object, _deployment: str) -> bool:
    """Whether ``answer`` is a completion of any model: the deployment's name doesn't tell which it serves."""
    return completing_model(answer, "", valid_model_name) is not None


@dataclass(frozen=True)
class DeploymentSender(OneSender):
    """Sends the keep-alives of one deployment, never two at once.

    If the client's base URL names another deployment, ``at`` is the base URL of the API.
    """

    resource: Resource
    name: str
    at: str | None = None
    force: bool = False

    def run(self) -> Flow[KeepAliveOutcome]:
        """Send the keep-alive if it is due; the outcome's model is the deployment's name."""
        outcome = yield from super().run()
        return outcome.model_copy(update={"model": self.name})

    def plan(self) -> KeepAliveOutcome:
        """Return what ``run`` would do now; without a reason, it would send one."""
        return KeepAliveOutcome(sent=False, model=self.name, reason=self._reason_not_to())

    @property
    def _lease(self) -> str:
        return f"keep-alive/{self.resource.history}/{self.name}"

    def _reason_not_to(self) -> NotSent | None:
        if self.force:
            return None
        try:
            deployment = self.resource.status_of(self.name)
        except StoreError:
            return NotSent.HISTORY_UNAVAILABLE
        return reason_not_to_keep(self.keep_alive, deployment, self.decider.now())

    def _attempts(self, left: Callable[[], timedelta]) -> Attempts:
        resets = self.resource.policy.resets
        operation: Operation = "chat.completions" if "chat.completions" in resets else resets[0]
        call = partial(smallest_call, operation=operation, at=self.at)
        return Attempts([self.name], left, call=call, is_answered=_shows_completion)

    def _newest_fact(self) -> None:
        return None

    def _record(self, sent: Sent, at: datetime) -> str:
        served = completing_model(sent.reply.body, "", valid_model_name) or None
        self.decider.recorder.record(self.resource.subject, self.name, Source.KEEP_ALIVE, at, served)
        self.resource.record_call(self.name, at)
        return self.resource.name

    def _record_failure(self, error: KeepAliveError) -> str:
        if isinstance(error.__cause__, openai.NotFoundError):  # otherwise it would be tried again every hour
            self.resource.record_not_found(self.name, self.decider.now())
        return self.resource.name
