"""The guard: what happens before a job is created, and what is remembered after a call.

It owns policy, store, recorder and clock, and is shared by a client and all its copies. What needs
API calls is a flow; what doesn't is a plain method. Nothing here knows a client.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import openai

from finetune_guard.api_errors import error_code, error_message, in_short, is_wrong_key
from finetune_guard.calls import GuardedCall, InferenceCall, JobCreation
from finetune_guard.clocks import answered_at, system_clock
from finetune_guard.discovery import discover
from finetune_guard.eligibility import Eligibility, Reason, Verdict, decide, explained
from finetune_guard.errors import GuardConfigError, KeepAliveError, StoreError
from finetune_guard.flows import Flow
from finetune_guard.history import Evidence, History, Refusal, Source
from finetune_guard.hosts import matches
from finetune_guard.identity import UNNAMED, Credentials, organization_slug
from finetune_guard.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, is_due
from finetune_guard.models import EXAMPLE_ID, FineTunedModel
from finetune_guard.policy import aware_utc
from finetune_guard.recording.notes import Subject, told
from finetune_guard.recording.recorder import Recorder
from finetune_guard.renewal import Renewal, learn_from
from finetune_guard.validation import shown

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

UNREADABLE = "finetune-guard can't read the history at %s; calls go on without it: %s"

_MOST_ASKED = 1_000
_ASKABLE = (Reason.NO_INFERENCE_RECORDED, Reason.NEVER_FINE_TUNED, Reason.WINDOW_EXPIRED)


@dataclass(frozen=True)
class Admission:
    """What was decided about a call.

    Attributes:
        eligibility: The decision.
        failure: Why the keep-alive that was due could not be sent, if so.
    """

    eligibility: Eligibility
    failure: KeepAliveError | None = None


_SWITCH_ON = "The guard is switched off: unset FINETUNE_GUARD_ENABLED, or give GuardConfig(enabled=True)."


class Guard:
    """Policy, history and clock of one configuration."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.policy = config.policy
        self.recorder = Recorder.of(config.open_store())
        self._asked: set[Credentials] = set()
        self._complained: set[str] = set()

    def applies_to(self, host: str, port: int | None) -> bool:
        """Whether the policy holds behind ``host``."""
        patterns = (*self.policy.hosts, *self.config.hosts)
        return self.config.enabled and any(matches(pattern, host, port) for pattern in patterns)

    def now(self) -> datetime:
        """Return the configured clock's time; the machine's when that clock fails."""
        try:
            return aware_utc(self.config.clock())
        except Exception as error:  # noqa: BLE001 -- a user's clock can fail in any way
            self._complain(
                "clock", "The configured clock fails; the machine's time is used instead: %r", error
            )
            return system_clock()

    # What is remembered after a call.

    def observe(
        self, call: InferenceCall | JobCreation, response: Mapping[str, str], request: Mapping[str, str]
    ) -> None:
        """Note a successful call from the headers of its response and request."""
        subject = Subject(organization_slug(response.get("openai-organization")), sent_with(request))
        at = answered_at(response.get("date"), self.now())
        if isinstance(call, InferenceCall):
            self.recorder.note(subject, call.model, Source.OBSERVED, at)
        else:
            self.recorder.learn(subject, told(fine_tuned_by=at))

    def refused(self, error: openai.APIStatusError) -> Eligibility:
        """Remember the API's refusal and return the eligibility that it means."""
        headers = error.response.headers
        credentials = sent_with(error.response.request.headers)
        subject = Subject(organization_slug(headers.get("openai-organization")), credentials)
        refusal = Refusal(
            at=answered_at(headers.get("date"), self.now()),
            code=error_code(error) or "",
            message=error_message(error),
        )
        self.recorder.learn(subject, told(refusal=refusal))
        evidence, _ = self._evidence(credentials)
        return explained(
            self.policy, evidence.model_copy(update={"refusal": refusal}), self.now(), Reason.REFUSED
        )

    def record(self, credentials: Credentials, model: str, at: datetime | None) -> None:
        """Note an inference that went another way.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id, or ``at`` is naive or in the future.
        """
        if FineTunedModel.parse(model) is None:
            raise GuardConfigError(_not_fine_tuned("record", model))
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
            self.recorder.note(Subject(self._organization(credentials), credentials), model, source, moment)

    # What is known.

    def history(self, credentials: Credentials) -> History:
        """Return the history of the credentials' organization.

        Raises:
            StoreError: The store can't be read.
        """
        return self.recorder.history(credentials)

    def decide(self, credentials: Credentials) -> Eligibility:
        """Return the eligibility by what is known now, without asking the API."""
        now = self.now()
        evidence, readable = self._evidence(credentials)
        eligibility = decide(self.policy, evidence, now)
        if not readable and eligibility.reason in _ASKABLE:
            return explained(self.policy, evidence, now, Reason.HISTORY_UNAVAILABLE)
        return eligibility

    def not_guarded(self) -> Eligibility:
        """Return the eligibility where the guard is off, or the policy doesn't speak of the host."""
        eligibility = explained(self.policy, Evidence(organization=UNNAMED), self.now(), Reason.NOT_GUARDED)
        return eligibility if self.config.enabled else eligibility.model_copy(update={"remedy": _SWITCH_ON})

    def check(self, credentials: Credentials, *, refresh: bool) -> Flow[Eligibility]:
        """Decide; with ``refresh`` ask the API first whose the key is and what it has fine-tuned."""
        if refresh:
            credentials = yield from self._identify(credentials, again=True)
        return self.decide(credentials)

    # What happens before a call.

    def authorize(self, call: GuardedCall, credentials: Credentials) -> Flow[Admission]:
        """Decide about a call, after a keep-alive where one is due.

        An upload alone asks the API for nothing, unless the window is known to have lapsed and a
        keep-alive may open it.

        Raises:
            openai.AuthenticationError: The API had to be asked and doesn't know the key.
        """
        creates = isinstance(call, JobCreation)
        eligibility = self.decide(credentials)
        if creates and eligibility.reason in _ASKABLE:
            credentials = yield from self._identify(credentials, again=False, wrong_key_ends_it=True)
            eligibility = self.decide(credentials)
        keep_alive = self.config.keep_alive
        lapsed = eligibility.verdict is Verdict.INELIGIBLE
        if keep_alive is None or not (creates or lapsed) or not is_due(keep_alive, eligibility):
            return Admission(eligibility)
        failure = None
        try:
            yield from self.keep_alive(credentials, keep_alive)
        except KeepAliveError as error:
            failure = error
            if eligibility.verdict is Verdict.ELIGIBLE:
                logger.warning("The keep-alive failed; jobs can still be created: %s", error)
        return Admission(self.decide(credentials), failure)

    def keep_alive(
        self,
        credentials: Credentials,
        keep_alive: KeepAlive,
        *,
        force: bool = False,
        model: str | None = None,
    ) -> Flow[KeepAliveOutcome]:
        """Send one keep-alive if it is due, and no second one while another is on its way.

        Raises:
            KeepAliveError: No model answered.
            GuardConfigError: ``model`` isn't a fine-tuned model's id.
        """
        renewal = self._renewal(keep_alive, model)
        credentials = yield from self._identify(credentials, again=False)
        return (yield from renewal.run(credentials, force=force, model=model))

    def plan(
        self,
        credentials: Credentials,
        keep_alive: KeepAlive,
        *,
        force: bool = False,
        model: str | None = None,
    ) -> KeepAlivePlan:
        """Return what ``keep_alive`` would do, by what is known now; nothing is sent and nothing asked.

        Raises:
            GuardConfigError: ``model`` isn't a fine-tuned model's id.
        """
        return self._renewal(keep_alive, model).plan(credentials, force=force, model=model)

    def _renewal(self, keep_alive: KeepAlive, model: str | None) -> Renewal:
        if model is not None and FineTunedModel.parse(model) is None:
            raise GuardConfigError(_not_fine_tuned("keep_alive", model))
        return Renewal(self.recorder, keep_alive, self.decide, self.now)

    def _identify(
        self, credentials: Credentials, *, again: bool, wrong_key_ends_it: bool = False
    ) -> Flow[Credentials]:
        """Learn whose the credentials are, and what they can see, unless that is known already.

        Returns the credentials as they were really sent: a callable key is known only then.

        Raises:
            openai.AuthenticationError: The API doesn't know the key, and ``wrong_key_ends_it``: the
                user's own call can only end so too.
        """
        if not again and (credentials in self._asked or self._organization(credentials) is not None):
            return credentials
        found = yield from discover()
        if wrong_key_ends_it and found.failure is not None and is_wrong_key(found.failure):
            raise found.failure
        if found.reply is None:
            if again and found.failure is not None:
                logger.warning(
                    "The API did not answer (%s); what is said rests on the history alone.",
                    in_short(found.failure),
                )
            return credentials
        subject = Subject(found.reply.organization, found.reply.credentials)
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        self._asked.add(subject.credentials)
        self.recorder.name(subject)
        learn_from(self.recorder, found)
        return subject.credentials

    def _organization(self, credentials: Credentials) -> str | None:
        try:
            return self.recorder.organization(credentials)
        except StoreError as error:
            self._complain("read", UNREADABLE, self.recorder.store.location, error)
            return None

    def _evidence(self, credentials: Credentials) -> tuple[Evidence, bool]:
        """Return what is known, and whether the store could be read for it."""
        try:
            return self.recorder.evidence(credentials), True
        except StoreError as error:
            self._complain("read", UNREADABLE, self.recorder.store.location, error)
            return self.recorder.unwritten_evidence(credentials), False

    def _complain(self, subject: str, message: str, *details: object) -> None:
        """Log a failure of our own parts, once for each kind."""
        if subject not in self._complained:
            self._complained.add(subject)
            logger.warning(message, *details)


def sent_with(request_headers: Mapping[str, str]) -> Credentials:
    """Return what a request was sent with, from its headers."""
    return Credentials(
        request_headers.get("authorization") or "", request_headers.get("openai-organization") or None
    )


def _not_fine_tuned(method: str, model: object) -> str:
    return f"{method}(model=...) is {shown(model)}: a fine-tuned model's id is required, such as {EXAMPLE_ID}"
