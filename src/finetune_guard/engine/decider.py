"""What one configuration knows, and what it remembers after a call.

It owns policy, store, recorder and clock. Nothing here asks the API, and nothing knows a client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import openai

from finetune_guard.clock import system_clock
from finetune_guard.domain.errors import (
    FineTunedModelShutDownError,
    FineTuneGuardWarning,
    GuardConfigError,
    StoreError,
)
from finetune_guard.domain.history import Evidence, History, Source
from finetune_guard.domain.hosts import matches
from finetune_guard.domain.model_ids import EXAMPLE_ID, FineTunedModel
from finetune_guard.domain.organizations import UNNAMED, Credentials
from finetune_guard.domain.policy import aware_utc
from finetune_guard.domain.validation import shown
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.observer import Headers, Observer
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.requests import InferenceCall, JobCreation, RecordsCall
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder
from finetune_guard.rules.eligibility import decide, explained
from finetune_guard.rules.shutdown_dates import Prospect

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

UNREADABLE = "finetune-guard can't read the history at %s; calls go on without it: %s"

ASKABLE = (
    Reason.NO_INFERENCE_RECORDED,
    Reason.NEVER_FINE_TUNED,
    Reason.WINDOW_EXPIRED,
    Reason.NO_RECENT_INFERENCE,
    Reason.WINDOW_EDGE,
)
"""What might be otherwise if more were known."""

_SWITCH_ON = "The guard is switched off: unset FINETUNE_GUARD_ENABLED, or give GuardConfig(enabled=True)."


class Knowledge:
    """Policy, history and clock of one configuration."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self._clock = config.clock
        self.policy = config.policy
        self.recorder = Recorder.of(config.open_store())
        self.ends = ModelEnds(config, self.recorder.store)
        self._witness = Observer(self.recorder, self.ends, self.policy.window)
        self._complained: set[str] = set()

    def applies_to(self, host: str, port: int | None) -> bool:
        """Whether the policy holds behind ``host``."""
        patterns = (*self.policy.hosts, *self.config.hosts)
        return self.config.enabled and any(matches(pattern, host, port) for pattern in patterns)

    def now(self) -> datetime:
        """Return the configured clock's time; the machine's when that clock fails."""
        try:
            now = self._clock()
            return now if now.tzinfo is timezone.utc else aware_utc(now)
        except Exception as error:  # noqa: BLE001 -- a user's clock can fail in any way
            self.complain(
                "clock", "The configured clock fails; the machine's time is used instead: %r", error
            )
            return system_clock()

    # What is remembered after a call.

    def saw(
        self, call: InferenceCall, headers: Headers, request_headers: Headers
    ) -> FineTuneGuardWarning | None:
        """Note an inference; return the warning that is due about its model, if any."""
        now, model = self.now(), call.model
        self._witness.saw(model, headers, request_headers, now)
        return self.ends.in_use(model, now)

    def observe(
        self,
        call: JobCreation | RecordsCall,
        headers: Headers,
        request_headers: Headers,
        body: Callable[[], object],
    ) -> None:
        """Note what another successful call tells, and its JSON body if the SDK has read that already."""
        self._witness.observe(call, headers, request_headers, body, self.now())

    def refused(self, error: openai.APIStatusError) -> Eligibility:
        """Remember the API's refusal and return the eligibility that it means."""
        subject, refusal = self._witness.refused(error, self.now())
        evidence, _ = self.evidence(subject.credentials)
        return explained(
            self.policy, evidence.model_copy(update={"refusal": refusal}), self.now(), Reason.REFUSED
        )

    def gone(self, error: openai.NotFoundError, call: InferenceCall) -> FineTunedModelShutDownError | None:
        """Return what a 404 for a model whose day has come means; None for any other 404."""
        return self.ends.gone(error, call.model, self.now())

    def record(self, credentials: Credentials, model: str, at: datetime | None) -> None:
        """Note an inference that went another way.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id, or ``at`` is naive or in the future.
        """
        if FineTunedModel.parse(model) is None:
            raise GuardConfigError(not_fine_tuned("record", model))
        now = self.now()
        try:
            moment = aware_utc(at) if at is not None else now
        except (AttributeError, OverflowError, ValueError):
            raise GuardConfigError(
                f"record(at=...) is {shown(at)}: a datetime with a time zone is required"
            ) from None
        if moment - now > timedelta(days=1):
            raise GuardConfigError(f"record(at=...) is {moment.isoformat()}: it lies in the future")
        if self.config.enabled:
            source = Source.OBSERVED if at is None else Source.IMPORTED
            self.recorder.note(Subject(self.organization_of(credentials), credentials), model, source, moment)

    # What is known.

    def prospect(self, model: str) -> Prospect:
        """Return what is known of the life of a fine-tune that would be made from ``model`` now."""
        return self.ends.prospect(model, self.now())

    def history(self, credentials: Credentials) -> History:
        """Return the history of the credentials' organization.

        Raises:
            StoreError: The store can't be read.
        """
        return self.recorder.history(credentials)

    def decide(self, credentials: Credentials) -> Eligibility:
        """Return the eligibility by what is known now, without asking the API."""
        now = self.now()
        evidence, readable = self.evidence(credentials)
        eligibility = decide(self.policy, evidence, now)
        if not readable and eligibility.reason in ASKABLE:
            return explained(self.policy, evidence, now, Reason.HISTORY_UNAVAILABLE)
        return eligibility

    def not_guarded(self) -> Eligibility:
        """Return the eligibility where the guard is off, or the policy doesn't speak of the host."""
        eligibility = explained(self.policy, Evidence(organization=UNNAMED), self.now(), Reason.NOT_GUARDED)
        return eligibility if self.config.enabled else eligibility.model_copy(update={"remedy": _SWITCH_ON})

    def organization_of(self, credentials: Credentials) -> str | None:
        """Return the slug of the credentials' organization; None if it isn't known, or can't be read."""
        try:
            return self.recorder.organization(credentials)
        except StoreError as error:
            self.complain("read", UNREADABLE, self.recorder.store.location, error)
            return None

    def evidence(self, credentials: Credentials) -> tuple[Evidence, bool]:
        """Return what is known, and whether the store could be read for it."""
        try:
            return self.recorder.evidence(credentials), True
        except StoreError as error:
            self.complain("read", UNREADABLE, self.recorder.store.location, error)
            return self.recorder.unwritten_evidence(credentials), False

    def complain(self, subject: str, message: str, *details: object) -> None:
        """Log a failure of our own parts, once for each kind."""
        if subject not in self._complained:
            self._complained.add(subject)
            logger.warning(message, *details)


def not_fine_tuned(method: str, model: object) -> str:
    """Return what is said about the ``model`` argument of a method that is no fine-tuned model's id."""
    return f"{method}(model=...) is {shown(model)}: a fine-tuned model's id is required, such as {EXAMPLE_ID}"
