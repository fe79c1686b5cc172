"""Sending a keep-alive, and no second one while another thread or process sends it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from typing_extensions import Self

from finetune_guard.clock import countdown
from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.engine.decider import Decider
from finetune_guard.openai_api.flow import Flow, Pause
from finetune_guard.rules import events
from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, NotSent
from finetune_guard.rules.keep_alive_attempts import Attempts, Sent
from finetune_guard.stores.base import Lease, Store

logger = logging.getLogger("finetune_guard")

FLUSH_TIMEOUT = 5.0
"""Seconds to wait at most for the history to be written before others may act on it."""

_POLL = timedelta(milliseconds=100)
_LONGEST_MARGIN = timedelta(seconds=30)
_MOST_REFUSALS = 3
_INSTANT = timedelta(microseconds=1)
_OLDEST_DATE = timedelta(days=1)


@dataclass(frozen=True)
class OneSender(ABC):
    """Sends a keep-alive where one is due: the part that is the same whatever is kept alive."""

    keep_alive: KeepAlive
    decider: Decider

    @property
    @abstractmethod
    def _lease(self) -> str:
        """What only one may do at a time."""

    @abstractmethod
    def _reason_not_to(self) -> NotSent | None:
        """Return why none is to be sent by what is known now; None when one is."""

    @abstractmethod
    def _attempts(self, left: Callable[[], timedelta]) -> Attempts:
        """Return what is tried in the time that is ``left``."""

    @abstractmethod
    def _newest_fact(self) -> datetime | None:
        """Return when the latest was that a keep-alive sent now comes after; None where nothing was."""

    @abstractmethod
    def _record(self, sent: Sent, at: datetime) -> str | None:
        """Have it remembered that it was answered at ``at``; return whose it is, as far as that is known."""

    @abstractmethod
    def _failed(self, error: KeepAliveError) -> str | None:
        """Have it remembered that nobody answered; return whose it is, as far as that is known."""

    def run(self) -> Flow[KeepAliveOutcome]:
        """Send the keep-alive unless it isn't due or someone else has just sent it."""
        reason = self._reason_not_to()
        if reason is not None:
            return KeepAliveOutcome(sent=False, reason=reason)
        with Turn(self._lease, self.keep_alive.deadline) as turn:
            reason = yield from self._wait(turn)
            if reason is not None:
                return KeepAliveOutcome(sent=False, reason=reason)
            try:
                return (yield from self._send(turn))
            except KeepAliveError as error:
                # Who was held up for longer than its turn lasts finds that another has taken over.
                reason = self._reason_by_now()
                if reason is NotSent.RENEWED_BY_ANOTHER:
                    return KeepAliveOutcome(sent=False, reason=reason)
                organization, now = self._failed(error), self.decider.now()
                self.decider.events.emit(partial(events.keep_alive_failed, organization, error, now))
                raise

    def _wait(self, turn: Turn) -> Flow[NotSent | None]:
        """Wait for the turn, no longer than all tries may take; return why nothing is to be sent, if so."""
        patience = countdown(self.keep_alive.deadline)
        recorder = self.decider.recorder
        for store in (recorder.leases, recorder.store):
            while True:
                if store is recorder.store:  # once a process, however many threads of it wait
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

    def _send(self, turn: Turn) -> Flow[KeepAliveOutcome]:
        now, before = self.decider.now(), self._newest_fact()
        attempts = self._attempts(turn.left)
        try:
            sent = yield from attempts.send()
        except BaseException:  # a cancelled task closes the flow while an inference is on its way
            if attempts.unknown_outcomes:
                turn.outlast()
            raise
        # What was known before it was sent is older than its answer, though dates have whole seconds.
        at = max(sent.reply.at, before + _INSTANT) if before is not None else sent.reply.at
        if now - at > _OLDEST_DATE:  # by such a Date another would be sent at once
            at = now
        organization = self._record(sent, at)
        # Before the turn ends: who comes next must see it.
        if not self.decider.recorder.flush(min(FLUSH_TIMEOUT, turn.margin.total_seconds())):
            turn.outlast(self.decider.recorder.store)
        self.decider.events.emit(lambda: events.keep_alive_sent(organization, sent.model, at))
        return KeepAliveOutcome(sent=True, model=sent.model, at=at)


class Turn:
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
