"""Send a keep-alive, unless another thread or process is sending the same one."""

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
"""The longest wait, in seconds, for the history to be written before others may act on it."""

_POLL = timedelta(milliseconds=100)
_LONGEST_MARGIN = timedelta(seconds=30)
_MOST_REFUSALS = 3
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class OneSender(ABC):
    """Sends a keep-alive if one is due: the part that windows and deployments have in common."""

    keep_alive: KeepAlive
    decider: Decider

    @property
    @abstractmethod
    def _lease(self) -> str:
        """The name of the lease that one sender may hold at a time."""

    @abstractmethod
    def _reason_not_to(self) -> NotSent | None:
        """Return why no keep-alive is to be sent now; None if one is."""

    @abstractmethod
    def _attempts(self, left: Callable[[], timedelta]) -> Attempts:
        """Return the attempts to make in the time that is ``left``."""

    @abstractmethod
    def _newest_fact(self) -> datetime | None:
        """Return the time of the latest fact that a keep-alive sent now must be later than, if any."""

    @abstractmethod
    def _record(self, sent: Sent, at: datetime) -> str | None:
        """Record that a model answered at ``at``; return the organization or resource, if known."""

    @abstractmethod
    def _record_failure(self, error: KeepAliveError) -> str | None:
        """Record that no model answered; return the organization or resource, if known."""

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
                # If this sender was delayed beyond its turn, another has taken over.
                reason = self._reason_to_give_up()
                if reason is NotSent.RENEWED_BY_ANOTHER:
                    return KeepAliveOutcome(sent=False, reason=reason)
                organization, now = self._record_failure(error), self.decider.now()
                self.decider.events.emit(partial(events.keep_alive_failed, organization, error, now))
                raise

    def _wait(self, turn: Turn) -> Flow[NotSent | None]:
        """Wait for the turn, at most as long as all tries may take; return a reason not to send, if any."""
        patience = countdown(self.keep_alive.deadline)
        recorder = self.decider.recorder
        for store in (recorder.leases, recorder.store):
            while True:
                if store is recorder.store:  # checked by one thread of each process
                    reason = self._reason_to_give_up()
                    if reason is not None:
                        return reason
                if turn.try_take(store):
                    break
                if patience() <= timedelta(0) and not turn.refusals:
                    return self._reason_to_give_up() or NotSent.ANOTHER_IS_SENDING
                yield Pause(_POLL)
        return self._reason_to_give_up()

    def _reason_to_give_up(self) -> NotSent | None:
        """Return why a keep-alive that was due is no longer to be sent; None if it still is."""
        reason = self._reason_not_to()
        return NotSent.RENEWED_BY_ANOTHER if reason is NotSent.NOT_DUE else reason

    def _send(self, turn: Turn) -> Flow[KeepAliveOutcome]:
        before = self._newest_fact()
        attempts = self._attempts(turn.left)
        try:
            sent = yield from attempts.send()
        except BaseException:  # a cancelled task closes the flow while an inference is under way
            if attempts.unknown_outcomes:
                turn.outlast()
            raise
        # Facts known before it was sent are older than its answer, even if the dates show the same second.
        at = max(sent.reply.at, before + _INSTANT) if before is not None else sent.reply.at
        organization = self._record(sent, at)
        # Before the turn ends: the next sender must see it.
        if not self.decider.recorder.flush(min(FLUSH_TIMEOUT, turn.margin.total_seconds())):
            turn.outlast(self.decider.recorder.store)
        self.decider.events.emit(lambda: events.keep_alive_sent(organization, sent.model, at))
        return KeepAliveOutcome(sent=True, model=sent.model, at=at)


class Turn:
    """The right to send, first among the threads of this process, then among all users of the store.

    It lasts a little longer than all tries may take, so that the result can still be written.

    Attributes:
        left: Returns the time left for sending.
        refusals: How often in a row the store has failed when the turn was to be taken.
    """

    def __init__(self, name: str, deadline: timedelta) -> None:
        self.margin = min(deadline / 2, _LONGEST_MARGIN)
        self.left = countdown(deadline)
        self.refusals = 0
        self._name = name
        self._deadline = deadline
        self._held: list[tuple[Store, Lease]] = []

    def try_take(self, store: Store) -> bool:
        """Try to take the turn in ``store``; true if it is held, or if the store keeps failing."""
        self.left = countdown(self._deadline)  # before the lease begins, so that a delay in between counts
        try:
            lease = store.lease(self._name, self._deadline + self.margin)
        except Exception as error:  # noqa: BLE001 -- a user's own store can fail in any way
            self.refusals += 1
            if self.refusals < _MOST_REFUSALS:  # it may only be overloaded
                return False
            # A broken store must not stop a keep-alive: the turn then holds for this process only.
            logger.warning(
                "finetune-guard can't keep other processes from sending the same keep-alive: %s", error
            )
            return True
        self.refusals = 0
        if lease is not None:
            self._held.append((store, lease))
        return lease is not None

    def outlast(self, store: Store | None = None) -> None:
        """Keep the turn until it expires, in ``store`` or in all: the result isn't written there yet."""
        self._held = [held for held in self._held if store is not None and held[0] is not store]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for store, lease in reversed(self._held):
            try:
                store.release(lease)
            except Exception as error:  # noqa: BLE001 -- as above
                logger.warning("finetune-guard can't release its lease, which expires by itself: %s", error)
