"""One keep-alive for an organization and a window, however many threads and processes want it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from typing_extensions import Self

from finetune_guard.clock import countdown
from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.history import Source
from finetune_guard.domain.organizations import UNNAMED, Credentials
from finetune_guard.domain.verdict import Reason
from finetune_guard.engine.decider import Decider
from finetune_guard.engine.events import Events
from finetune_guard.engine.identification import remember_traces
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.flow import Flow, Pause
from finetune_guard.openai_api.listing import Listing
from finetune_guard.recording.notes import Subject, told
from finetune_guard.recording.recorder import Recorder
from finetune_guard.rules import events
from finetune_guard.rules.keep_alive import (
    KeepAlive,
    KeepAliveOutcome,
    KeepAlivePlan,
    NotSent,
    candidates,
    is_due,
    live,
)
from finetune_guard.rules.keep_alive_attempts import Attempts
from finetune_guard.stores.base import Lease, Store

logger = logging.getLogger("finetune_guard")

FLUSH_TIMEOUT = 5.0
"""Seconds to wait at most for the history to be written before others may act on it."""

_POLL = timedelta(milliseconds=100)
_LONGEST_MARGIN = timedelta(seconds=30)
_MOST_REFUSALS = 3
_INSTANT = timedelta(microseconds=1)
_OLDEST_DATE = timedelta(days=1)
_NEVER_UNFORCED = {
    Reason.CLOSED: NotSent.CREATION_CLOSED,
    Reason.REFUSED: NotSent.REFUSED,
    Reason.HISTORY_UNAVAILABLE: NotSent.HISTORY_UNAVAILABLE,
}


@dataclass(frozen=True)
class KeepAliveSender:
    """Sends the keep-alives of one policy, never two at once for an organization.

    Attributes:
        keep_alive: When one is due, and how long it may take.
        recorder: Where the inference is recorded and leases are kept.
        decider: Tells the eligibility.
        ends: Tells when models end.
        events: Where it is told what came of it.
        credentials: Whose window is kept open.
        force: Whether one is sent although it isn't due.
    """

    keep_alive: KeepAlive
    recorder: Recorder
    decider: Decider
    ends: ModelEnds
    events: Events
    credentials: Credentials
    force: bool = False

    def plan(self, model: str | None = None) -> KeepAlivePlan:
        """Return what ``run`` would do by what is known now; nothing is sent and nothing asked."""
        eligibility = self.decider.decide(self.credentials)
        reason = self._reason_not_to()
        if reason is not None:
            return KeepAlivePlan(due=False, reason=reason, eligibility=eligibility)
        first = (model,) if model is not None else self._known()
        return KeepAlivePlan(due=True, model=next(iter(first), None), eligibility=eligibility)

    def run(self, model: str | None = None, listing: Listing | None = None) -> Flow[KeepAliveOutcome]:
        """Send the keep-alive unless it isn't due or someone else has just sent it.

        What the API listed a moment ago, given as ``listing``, isn't asked for again.

        Raises:
            KeepAliveError: No model answered.
        """
        reason = self._reason_not_to()
        if reason is not None:
            return KeepAliveOutcome(sent=False, reason=reason)
        name = f"keep-alive/{self.decider.decide(self.credentials).organization or UNNAMED}"
        with _Turn(name, self.keep_alive.deadline) as turn:
            reason = yield from self._wait(turn)
            if reason is not None:
                return KeepAliveOutcome(sent=False, reason=reason)
            try:
                return (yield from self._send(model, turn, listing))
            except KeepAliveError as error:
                # Who was held up for longer than its turn lasts finds that another has taken over.
                reason = self._reason_by_now()
                if reason is not NotSent.RENEWED_BY_ANOTHER:
                    self._failed(error)
                    raise
                return KeepAliveOutcome(sent=False, reason=reason)

    def _wait(self, turn: _Turn) -> Flow[NotSent | None]:
        """Wait for the turn, no longer than all tries may take; return why nothing is to be sent, if so."""
        patience = countdown(self.keep_alive.deadline)
        for store in (self.recorder.leases, self.recorder.store):
            while True:
                if store is self.recorder.store:  # once a process, however many threads of it wait
                    reason = self._reason_by_now()
                    if reason is not None:
                        return reason
                if turn.taken(store):
                    break
                if patience() <= timedelta(0) and not turn.is_refused:
                    return self._reason_by_now() or NotSent.ANOTHER_IS_SENDING
                yield Pause(_POLL)
        return self._reason_by_now()

    def _reason_by_now(self) -> NotSent | None:
        """Return why what was due a moment ago is not to be sent any more; None when it still is."""
        reason = self._reason_not_to()
        return NotSent.RENEWED_BY_ANOTHER if reason is NotSent.NOT_DUE else reason

    def _reason_not_to(self) -> NotSent | None:
        eligibility = self.decider.decide(self.credentials)
        if self.force or is_due(self.keep_alive, eligibility):
            return None
        return _NEVER_UNFORCED.get(eligibility.reason, NotSent.NOT_DUE)

    def _send(self, model: str | None, turn: _Turn, listing: Listing | None) -> Flow[KeepAliveOutcome]:
        now = self.decider.now()
        dates, today = self.ends.read(now), now.date()
        refusal = self.decider.decide(self.credentials).refusal

        def find_more(found: Listing) -> tuple[str, ...]:
            remember_traces(self.recorder, found)
            return live(found.newest_first, dates, today)

        if model is not None:
            attempts = Attempts([model], turn.left)
        else:
            attempts = Attempts(self._known(), turn.left, find_more, listing)
        try:
            sent = yield from attempts.send()
        except BaseException:  # a cancelled task closes the flow while an inference is on its way
            if attempts.unknown_outcomes:
                turn.outlast()
            raise
        subject = Subject(sent.reply.organization, sent.reply.credentials)
        # What was known before it was sent is older than its answer, though dates have whole seconds.
        at = max(sent.reply.at, refusal.at + _INSTANT) if refusal is not None else sent.reply.at
        if now - at > _OLDEST_DATE:  # by such a Date another would be sent at once
            at = now
        self.recorder.record(subject, sent.model, Source.KEEP_ALIVE, at)
        # Before the turn ends: who comes next must see it.
        if not self.recorder.flush(min(FLUSH_TIMEOUT, turn.margin.total_seconds())):
            turn.outlast(self.recorder.store)
        organization = sent.reply.organization
        self.events.tell(lambda: events.keep_alive_sent(organization, sent.model, at))
        return KeepAliveOutcome(sent=True, model=sent.model, at=at)

    def _failed(self, error: KeepAliveError) -> None:
        organization, now = self.decider.organization_of(self.credentials), self.decider.now()
        self.recorder.merge(Subject(organization, self.credentials), told(keep_alive_failed_at=now))
        self.events.tell(lambda: events.keep_alive_failed(organization, error, now))

    def _known(self) -> tuple[str, ...]:
        history, now = self.decider.history(self.credentials), self.decider.now()
        return candidates(history, self.keep_alive.model, self.ends.read(now), now.date())


class _Turn:
    """The right to send: among this process's threads first, then among all users of the store.

    It lasts somewhat longer than all tries may take, so that what was sent can be written in it.
    """

    def __init__(self, name: str, deadline: timedelta) -> None:
        self.margin = min(deadline / 2, _LONGEST_MARGIN)
        self.left = countdown(deadline)
        """Tells how much is left of the time in which something may be sent."""
        self._name = name
        self._deadline = deadline
        self._refusals = 0
        self._held: list[tuple[Store, Lease]] = []

    @property
    def is_refused(self) -> bool:
        """Whether the store failed when the turn was last tried to take."""
        return self._refusals > 0

    def taken(self, store: Store) -> bool:
        """Try to take the turn in ``store``; return whether that succeeded, or never will."""
        self.left = countdown(self._deadline)  # from before it is taken: who is held up in between is late
        try:
            lease = store.lease(self._name, self._deadline + self.margin)
        except Exception as error:  # noqa: BLE001 -- a user's own store can fail in any way
            self._refusals += 1
            if self._refusals < _MOST_REFUSALS:  # it may only be overloaded
                return False
            # A broken store must not stop a keep-alive: the turn is then this process's alone.
            logger.warning("finetune-guard can't keep other processes from a keep-alive: %s", error)
            return True
        self._refusals = 0
        if lease is not None:
            self._held.append((store, lease))
        return lease is not None

    def outlast(self, store: Store | None = None) -> None:
        """Keep the turn until its time is over, in ``store`` or in all: what was sent isn't written there."""
        self._held = [held for held in self._held if store is not None and held[0] is not store]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for store, lease in reversed(self._held):
            try:
                store.release(lease)
            except Exception as error:  # noqa: BLE001 -- as above
                logger.warning("finetune-guard can't end its turn; it ends by itself in time: %s", error)
