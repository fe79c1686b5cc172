"""The guard: what happens before a job is created, and what is remembered after a call.

It owns policy, store, recorder and clock, and is shared by a client and all its copies. What needs
API calls is a flow; what doesn't is a plain method. Nothing here knows a client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import openai

from finetune_guard.api_errors import in_short, is_wrong_key
from finetune_guard.base_models import Prospect
from finetune_guard.calls import GuardedCall, InferenceCall, JobCreation, RecordsCall
from finetune_guard.clocks import system_clock
from finetune_guard.discovery import discover
from finetune_guard.eligibility import Eligibility, Reason, Verdict, decide, explained
from finetune_guard.errors import (
    FineTunedModelShutDownError,
    FineTuneGuardWarning,
    GuardConfigError,
    KeepAliveError,
    StoreError,
    UsageSyncError,
)
from finetune_guard.flows import Flow
from finetune_guard.history import Evidence, History, Source
from finetune_guard.hosts import matches
from finetune_guard.identity import UNNAMED, Credentials
from finetune_guard.inventory import Inventory, joined, read_inventory
from finetune_guard.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, is_due
from finetune_guard.model_ends import ModelEnds
from finetune_guard.models import EXAMPLE_ID, FineTunedModel
from finetune_guard.policy import aware_utc
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder
from finetune_guard.renewal import Renewal, learn_from
from finetune_guard.usage_sync import NO_ADMIN_KEY, Synchronization, SyncProgress, UsageSync
from finetune_guard.validation import shown
from finetune_guard.witness import Answer, Witness

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

UNREADABLE = "finetune-guard can't read the history at %s; calls go on without it: %s"

_MOST_ASKED = 1_000
_ASKABLE = (
    Reason.NO_INFERENCE_RECORDED,
    Reason.NEVER_FINE_TUNED,
    Reason.WINDOW_EXPIRED,
    Reason.NO_RECENT_INFERENCE,
)
_SYNCABLE = (*_ASKABLE, Reason.REFUSED, Reason.HISTORY_UNAVAILABLE)
_JUST_READ = timedelta(minutes=1)
_USUAL_SPAN = timedelta(days=60)


@dataclass(frozen=True)
class Admission:
    """What was decided about a call.

    Attributes:
        eligibility: The decision.
        failure: Why the keep-alive that was due could not be sent, or the usage not be read, if so.
        warning: What is to be said about the model that a job starts from, if anything.
    """

    eligibility: Eligibility
    failure: KeepAliveError | UsageSyncError | None = None
    warning: FineTuneGuardWarning | None = None


_SWITCH_ON = "The guard is switched off: unset FINETUNE_GUARD_ENABLED, or give GuardConfig(enabled=True)."


class Guard:
    """Policy, history and clock of one configuration."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.policy = config.policy
        self.recorder = Recorder.of(config.open_store())
        self.ends = ModelEnds(config, self.recorder.store)
        self._witness = Witness(self.recorder, self.ends)
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
        self, call: InferenceCall | JobCreation | RecordsCall, answer: Answer
    ) -> FineTuneGuardWarning | None:
        """Note what a successful call tells; return the warning that is due about its model, if any."""
        now = self.now()
        self._witness.observe(call, answer, now)
        return self.ends.in_use(call.model, now) if isinstance(call, InferenceCall) else None

    def refused(self, error: openai.APIStatusError) -> Eligibility:
        """Remember the API's refusal and return the eligibility that it means."""
        subject, refusal = self._witness.refused(error, self.now())
        evidence, _ = self._evidence(subject.credentials)
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

    def check(
        self, credentials: Credentials, *, refresh: bool, admin_key: str | None = None
    ) -> Flow[Eligibility]:
        """Decide; with ``refresh`` ask the API first.

        It is asked whose the key is and what it has fine-tuned, and, where the verdict would not be
        ``eligible`` and there is an admin key, for the organization's usage.
        """
        if refresh:
            credentials = yield from self._identify(credentials, again=True)
            yield from self._sync_if_needed(credentials, admin_key)
        return self.decide(credentials)

    def prospect(self, model: str) -> Prospect:
        """Return what is known of the life of a fine-tune that would be made from ``model`` now."""
        return self.ends.prospect(model, self.now())

    def inventory(self, credentials: Credentials, *, refresh: bool) -> Flow[Inventory]:
        """Ask for every fine-tuned model that the key can see, and add what is remembered.

        Raises:
            StoreError: ``refresh``, and the shutdown dates can't be written.
        """
        found = yield from read_inventory()
        if found.reply is not None:
            credentials = found.reply.credentials
            learn_from(self.recorder, found)
            self.ends.learn(found.announced)
            if refresh:
                self.ends.remember(found.announced)
        now = self.now()
        try:
            history = self.recorder.history(credentials)
        except StoreError as error:
            self._complain("read", UNREADABLE, self.recorder.store.location, error)
            history = History(evidence=self.recorder.unwritten_evidence(credentials))
        return joined(found, history, self.ends.read(now), now)

    def sync(
        self,
        credentials: Credentials,
        admin_key: str | None,
        *,
        days: int | None = None,
        progress: Callable[[SyncProgress], object] | None = None,
    ) -> Flow[UsageSync]:
        """Read the organization's usage into its history.

        Raises:
            UsageSyncError: There is no admin key, it may not, or nothing could be read.
        """
        if admin_key is None:
            raise UsageSyncError(NO_ADMIN_KEY, remedy=NO_ADMIN_KEY)
        credentials = yield from self._identify(credentials, again=False)
        evidence, _ = self._evidence(credentials)
        now = self.now()
        span = timedelta(days=days) if days is not None else self.policy.window or _USUAL_SPAN
        work = Synchronization(self.recorder, credentials, admin_key, progress)
        return (yield from work.run(self._organization(credentials), evidence, now - span, now))

    # What happens before a call.

    def authorize(
        self, call: GuardedCall, credentials: Credentials, admin_key: str | None = None
    ) -> Flow[Admission]:
        """Decide about a call, after reading the usage and sending a keep-alive where these are due.

        An upload alone asks the API for nothing, unless the window is known to have lapsed and the usage
        or a keep-alive may say otherwise.

        Raises:
            openai.AuthenticationError: The API had to be asked and doesn't know the key.
            BaseModelShutDownError: The model that a job is to start from is gone.
            ShortLivedModelError: Its fine-tunes would live less than ``min_model_lifetime``.
        """
        creates = isinstance(call, JobCreation)
        eligibility, warning, failure = self.decide(credentials), None, None
        if creates and eligibility.reason in _ASKABLE:
            credentials = yield from self._identify(credentials, again=False, wrong_key_ends_it=True)
        if isinstance(call, JobCreation) and call.model is not None:
            warning = self.ends.before_job(call.model, self.now())
        unread = None
        if creates or eligibility.verdict is Verdict.INELIGIBLE:
            unread = yield from self._sync_if_needed(credentials, admin_key)
            eligibility = self.decide(credentials)
        keep_alive = self.config.keep_alive
        lapsed = eligibility.verdict is Verdict.INELIGIBLE
        if keep_alive is not None and (creates or lapsed) and is_due(keep_alive, eligibility):
            try:
                yield from self.keep_alive(credentials, keep_alive)
            except KeepAliveError as error:
                failure = error
                if eligibility.verdict is Verdict.ELIGIBLE:
                    logger.warning("The keep-alive failed; jobs can still be created: %s", error)
            eligibility = self.decide(credentials)
        return Admission(eligibility, failure or unread, warning)

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

    def _sync_if_needed(self, credentials: Credentials, admin_key: str | None) -> Flow[UsageSyncError | None]:
        """Read the usage if that may change a verdict that isn't ``eligible``; return why it failed."""
        eligibility = self.decide(credentials)
        read_until = eligibility.covered_until
        just_read = read_until is not None and eligibility.checked_at - read_until < _JUST_READ
        if admin_key is None or just_read or eligibility.reason not in _SYNCABLE:
            return None
        try:
            done = yield from self.sync(credentials, admin_key)
        except UsageSyncError as error:
            logger.warning("The organization's usage could not be read: %s", error)
            return error
        if not done.complete:
            logger.warning(
                "The organization's usage was read up to %s only: %s", done.covered_until, done.failure
            )
        return None

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
        self.ends.learn(found.announced)
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


def _not_fine_tuned(method: str, model: object) -> str:
    return f"{method}(model=...) is {shown(model)}: a fine-tuned model's id is required, such as {EXAMPLE_ID}"
