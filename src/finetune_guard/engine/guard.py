"""The guard: what happens before a job is created, and what is asked of the API on request.

It is shared by a client and all its copies. Whatever needs API calls is a flow. Nothing here knows a
client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from finetune_guard.domain.errors import (
    FineTuneGuardWarning,
    GuardConfigError,
    KeepAliveError,
    StoreError,
    UsageSyncError,
)
from finetune_guard.domain.history import History
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.engine.decider import ASKABLE, UNREADABLE, Knowledge, not_fine_tuned
from finetune_guard.engine.keep_alive import Renewal, learn_from
from finetune_guard.engine.usage_sync import (
    NO_ADMIN_KEY,
    Synchronization,
    SyncProgress,
    UsageSync,
    broken_off,
)
from finetune_guard.openai_api.discovery import discover
from finetune_guard.openai_api.errors import in_short, is_wrong_key
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.requests import GuardedCall, JobCreation
from finetune_guard.recording.notes import Subject
from finetune_guard.rules.inventory import Inventory, joined, read_inventory
from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, NotSent, is_due

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

_MOST_ASKED = 1_000
_SYNCABLE = (*ASKABLE, Reason.REFUSED, Reason.HISTORY_UNAVAILABLE)
_JUST_READ = timedelta(minutes=1)
_USUAL_SPAN = timedelta(days=60)
_NOT_KNOWN_YET = "Another thread or process is sending one; whether it succeeds was not known in time."
_TRY_AGAIN = "Try again in a minute."


@dataclass(frozen=True)
class Admission:
    """What was decided about a call.

    Attributes:
        eligibility: The decision.
        failures: Why the usage could not be read, and the keep-alive that was due not be sent, if so.
        warning: What is to be said about the model that a job starts from, if anything.
    """

    eligibility: Eligibility
    failures: tuple[UsageSyncError | KeepAliveError, ...] = ()
    warning: FineTuneGuardWarning | None = None


class Guard(Knowledge):
    """What is known, and what is done about it."""

    def __init__(self, config: GuardConfig) -> None:
        super().__init__(config)
        self._asked: set[Credentials] = set()
        self._tried: dict[Credentials, tuple[datetime, list[UsageSyncError]]] = {}

    def check(
        self, credentials: Credentials, *, refresh: bool, admin_key: str | None = None
    ) -> Flow[Eligibility]:
        """Decide; with ``refresh`` ask the API first.

        It is asked whose the key is and what it has fine-tuned, and, where the verdict would not be
        ``eligible`` and there is an admin key, for the organization's usage.
        """
        if refresh:
            credentials = yield from self._identify(credentials, again=True)
            eligibility = self.decide(credentials)
            if not _may_sync(eligibility, admin_key):
                return eligibility
            yield from self._sync_for_decision(credentials, admin_key)
        return self.decide(credentials)

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
            self.complain("read", UNREADABLE, self.recorder.store.location, error)
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
        evidence, _ = self.evidence(credentials)
        now = self.now()
        window = self.policy.window or _USUAL_SPAN
        span = timedelta(days=days) if days is not None else window
        work = Synchronization(self.recorder, credentials, admin_key, window, progress)
        return (yield from work.run(self.organization_of(credentials), evidence, now - span, now))

    # What happens before a call.

    def judge(self, call: GuardedCall, credentials: Credentials) -> Flow[Admission]:
        """Decide about a call by what is known: it goes to a guarded host, and the client's own is another.

        Whatever would be asked, and the admin key with it, would go to that other host.
        """
        yield from ()
        warning = None
        if isinstance(call, JobCreation) and call.model is not None:
            warning = self.ends.before_job(call.model, self.now())
        return Admission(self.decide(credentials), (), warning)

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
        eligibility, creates = self.decide(credentials), isinstance(call, JobCreation)
        if creates and eligibility.reason in ASKABLE:
            credentials = yield from self._identify(credentials, again=False, wrong_key_ends_it=True)
            eligibility = self.decide(credentials)
        warning = None
        if isinstance(call, JobCreation) and call.model is not None:
            warning = self.ends.before_job(call.model, self.now())
        failures: list[UsageSyncError | KeepAliveError] = []
        if (creates or eligibility.verdict is Verdict.INELIGIBLE) and _may_sync(eligibility, admin_key):
            failures += yield from self._sync_before(credentials, admin_key)
            eligibility = self.decide(credentials)
        keep_alive, lapsed = self.config.keep_alive, eligibility.verdict is Verdict.INELIGIBLE
        if keep_alive is not None and (creates or lapsed) and is_due(keep_alive, eligibility):
            try:
                outcome = yield from self.keep_alive(credentials, keep_alive)
            except KeepAliveError as error:
                failures.append(error)
                if eligibility.verdict is Verdict.ELIGIBLE:
                    logger.warning("The keep-alive failed; jobs can still be created: %s", error)
            else:
                if outcome.reason is NotSent.ANOTHER_IS_SENDING:
                    failures.append(KeepAliveError(_NOT_KNOWN_YET, remedy=_TRY_AGAIN))
            eligibility = self.decide(credentials)
        return Admission(eligibility, tuple(failures), warning)

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
            raise GuardConfigError(not_fine_tuned("keep_alive", model))
        return Renewal(self.recorder, keep_alive, self.decide, self.now, lambda: self.ends.read(self.now()))

    def _sync_before(self, credentials: Credentials, admin_key: str | None) -> Flow[list[UsageSyncError]]:
        """Read the usage before a call, unless that was just tried; return why it failed, if it did."""
        now = self.now()
        tried_at, failures = self._tried.get(credentials, (None, []))
        if tried_at is not None and abs(now - tried_at) < _JUST_READ:
            return failures
        if len(self._tried) >= _MOST_ASKED:
            self._tried.clear()
        failures = yield from self._sync_for_decision(credentials, admin_key)
        self._tried[credentials] = now, failures
        return failures

    def _sync_for_decision(
        self, credentials: Credentials, admin_key: str | None
    ) -> Flow[list[UsageSyncError]]:
        """Read the usage for a decision, which goes on without it; return why that failed, if it did."""
        try:
            done = yield from self.sync(credentials, admin_key)
        except UsageSyncError as error:
            failure = error
        else:
            if done.complete:
                return []
            failure = broken_off(done)
        logger.warning("%s", failure)
        return [failure]

    def _identify(
        self, credentials: Credentials, *, again: bool, wrong_key_ends_it: bool = False
    ) -> Flow[Credentials]:
        """Learn whose the credentials are, and what they can see, unless that is known already.

        Returns the credentials as they were really sent: a callable key is known only then.

        Raises:
            openai.AuthenticationError: The API doesn't know the key, and ``wrong_key_ends_it``: the
                user's own call can only end so too.
        """
        if not again and (credentials in self._asked or self.organization_of(credentials) is not None):
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


def _may_sync(eligibility: Eligibility, admin_key: str | None) -> bool:
    """Whether reading the usage is possible, may change the verdict, and wasn't done just now."""
    read_until = eligibility.covered_until
    just_read = read_until is not None and abs(eligibility.checked_at - read_until) < _JUST_READ
    return admin_key is not None and not just_read and eligibility.reason in _SYNCABLE
