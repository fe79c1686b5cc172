"""Sending one keep-alive for an organization and a window, however many threads and processes want one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.facts import Source
from finetune_guard.domain.organizations import UNNAMED, Credentials
from finetune_guard.domain.verdict import Reason
from finetune_guard.engine.identification import remember_traces
from finetune_guard.engine.one_sender import OneSender, Turn
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.listing import Listing
from finetune_guard.recording.notes import Subject, told
from finetune_guard.rules.keep_alive import (
    KeepAlivePlan,
    NotSent,
    candidates,
    is_due,
    live,
)
from finetune_guard.rules.keep_alive_attempts import Attempts, Sent

_NEVER_UNFORCED = {
    Reason.CLOSED: NotSent.CREATION_CLOSED,
    Reason.REFUSED: NotSent.REFUSED,
    Reason.HISTORY_UNAVAILABLE: NotSent.HISTORY_UNAVAILABLE,
}


@dataclass(frozen=True)
class KeepAliveSender(OneSender):
    """Sends the keep-alives of one policy, never two at once for an organization.

    Attributes:
        ends: Tells when models end.
        credentials: Whose window is kept open.
        force: Whether one is sent although it isn't due.
    """

    ends: ModelEnds
    credentials: Credentials
    force: bool = False

    def plan(self, model: str | None = None) -> KeepAlivePlan:
        """Return what ``run`` would do by what is known now; nothing is sent and nothing asked."""
        eligibility = self.decider.decide(self.credentials)
        reason = self.reason_not_to()
        if reason is not None:
            return KeepAlivePlan(due=False, reason=reason, eligibility=eligibility)
        first = (model,) if model is not None else self._known()
        return KeepAlivePlan(due=True, model=next(iter(first), None), eligibility=eligibility)

    def _lease(self) -> str:
        return f"keep-alive/{self.decider.decide(self.credentials).organization or UNNAMED}"

    def reason_not_to(self) -> NotSent | None:
        """Return why none is to be sent by what is known now; None when one is."""
        eligibility = self.decider.decide(self.credentials)
        if self.force or is_due(self.keep_alive, eligibility):
            return None
        return _NEVER_UNFORCED.get(eligibility.reason, NotSent.NOT_DUE)

    def _attempts(self, turn: Turn, model: str | None, listing: Listing | None) -> Attempts:
        if model is not None:
            return Attempts([model], turn.left)
        now = self.decider.now()
        dates, today = self.ends.read(now), now.date()

        def find_more(found: Listing) -> tuple[str, ...]:
            remember_traces(self.recorder, found)
            return live(found.newest_first, dates, today)

        return Attempts(self._known(), turn.left, find_more, listing)

    def _newest_fact(self) -> datetime | None:
        refusal = self.decider.decide(self.credentials).refusal
        return refusal.at if refusal is not None else None

    def _record(self, sent: Sent, at: datetime) -> str | None:
        subject = Subject(sent.reply.organization, sent.reply.credentials)
        self.recorder.record(subject, sent.model, Source.KEEP_ALIVE, at)
        return subject.organization

    def _failed(self, error: KeepAliveError) -> str | None:
        del error
        organization, now = self.decider.organization_of(self.credentials), self.decider.now()
        self.recorder.merge(Subject(organization, self.credentials), told(keep_alive_failed_at=now))
        return organization

    def _known(self) -> tuple[str, ...]:
        history, now = self.decider.history(self.credentials), self.decider.now()
        return candidates(history, self.keep_alive.model, self.ends.read(now), now.date())
