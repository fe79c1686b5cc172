"""Decide an organization's eligibility from its history and the clock, without asking the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from finetune_guard.clock import ServerTime, check_year, system_clock
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials, Subject
from finetune_guard.domain.policy import aware_utc
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.events import Events
from finetune_guard.logs import OnceLog
from finetune_guard.openai_api.flow import T
from finetune_guard.recording.recorder import Recorder
from finetune_guard.rules import endings, events, messages
from finetune_guard.rules.eligibility import decide, explained

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

ASKABLE = (
    Reason.NO_INFERENCE_RECORDED,
    Reason.NEVER_FINE_TUNED,
    Reason.WINDOW_EXPIRED,
    Reason.NO_RECENT_INFERENCE,
    Reason.WINDOW_EDGE,
)
"""Reasons that may change once the API is asked."""


_LATELY = timedelta(hours=1)


class Decider:
    """Decides eligibility from the history, the policy and the clock."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.recorder = Recorder.for_store(config.open_store())
        self.events = Events(config.on_event)
        self._clock = config.clock
        self._server_time = ServerTime()
        self._last_answer = b"", 0.0, system_clock()
        self._once = OnceLog()
        self.recorder.add_watcher(self)

    def now(self) -> datetime:
        """Return the configured clock's time, corrected by the API's; the machine's if that clock fails."""
        offset = self._server_time.offset
        try:
            now = self._clock()
            now = check_year(now if now.tzinfo is timezone.utc else aware_utc(now))
            return now + offset if offset else now
        except Exception as error:  # noqa: BLE001 -- a user's clock can fail in any way
            message = "The configured clock fails; the machine's time is used instead: %r"
            self._once.log(logging.WARNING, message, error)
            return system_clock() + offset

    def answered_at(self, date: str | bytes | None) -> datetime:
        """Return when a response with this ``Date`` header was sent, and learn the clock's offset from it.

        The result is cached for responses of the same second, unless the program has a clock of its own.
        """
        header, found_at, found = self._last_answer
        if type(date) is bytes and date == header and 0 <= time.time() - found_at < 1:
            return found
        found = self._server_time.answered_at(date, self.now())
        if type(date) is bytes and self._clock is system_clock:
            self._last_answer = date, time.time(), found
        return found

    @property
    def has_been_answered(self) -> bool:
        """Whether a response has shown the time less than an hour ago, so that the clock wasn't set since."""
        last = self._server_time.last_answer
        return last is not None and abs(self.now() - last) < _LATELY

    def decide(self, credentials: Credentials) -> Eligibility:
        """Return the eligibility by the evidence recorded so far."""
        now = self.now()
        evidence, readable = self.evidence(credentials)
        or_at = now + self._server_time.doubt
        eligibility = decide(self.config.policy, evidence, now, self.config.refusal_ttl, or_at=or_at)
        if not readable and eligibility.reason in ASKABLE:
            return explained(self.config.policy, evidence, now, Reason.HISTORY_UNAVAILABLE)
        closing = endings.window_end(eligibility)
        self.events.emit_when_near(closing, now, lambda within: events.window_closing(eligibility, within))
        return eligibility

    def explain(self, evidence: Evidence, reason: Reason) -> Eligibility:
        """Return the eligibility for ``reason`` as of now."""
        return explained(self.config.policy, evidence, self.now(), reason)

    def not_guarded(self, *, has_idle_policy: bool = False) -> Eligibility:
        """Return the eligibility if the guard is off or the policy does not apply to the host."""
        eligibility = self.explain(Evidence(organization=UNNAMED), Reason.NOT_GUARDED)
        if self.config.enabled and not has_idle_policy:
            return eligibility
        remedy = messages.IDLE_POLICY_ONLY if has_idle_policy else messages.SWITCHED_OFF
        return eligibility.model_copy(update={"remedy": remedy})

    def organization_of(self, credentials: Credentials) -> str | None:
        """Return the slug of the credentials' organization; None if unknown or unreadable."""
        return self._read(self.recorder.organization, credentials)

    def subject_of(self, credentials: Credentials) -> Subject:
        """Return the credentials with the slug of their organization, if that is known."""
        return Subject(self.organization_of(credentials), credentials)

    def evidence(self, credentials: Credentials) -> tuple[Evidence, bool]:
        """Return the evidence, and whether the store could be read."""
        evidence = self._read(self.recorder.evidence, credentials)
        return evidence or self.recorder.unwritten_evidence(credentials), evidence is not None

    def history(self, credentials: Credentials) -> History:
        """Return the organization's history; only the unwritten part if the store can't be read."""
        history = self._read(self.recorder.history, credentials)
        return history or History(evidence=self.recorder.unwritten_evidence(credentials))

    def _read(self, read: Callable[[Credentials], T], credentials: Credentials) -> T | None:
        """Return what ``read`` returns; None, and a warning in the log, if the store can't be read."""
        try:
            return read(credentials)
        except StoreError as error:
            location = self.recorder.store.location
            text = "finetune-guard can't read the history at %s; calls go on without it: %s"
            if self._once.log(logging.WARNING, text, location, error):
                self.history_failed(error)
            return None

    def history_failed(self, error: BaseException) -> None:
        """Emit the event that the history can't be read or written."""
        location = self.recorder.store.location
        self.events.emit(lambda: events.history_unavailable(location, error, self.now()))
