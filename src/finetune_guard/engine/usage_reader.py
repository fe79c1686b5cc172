"""When the organization's usage is read: on request, and for a decision at most once a minute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from finetune_guard.domain.errors import UsageSyncError
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.decider import ASKABLE, Decider
from finetune_guard.engine.identification import Identification
from finetune_guard.engine.usage_sync import (
    NO_ADMIN_KEY,
    SyncProgress,
    UsageSync,
    broken_off,
    synchronize,
    whose_key_is_unknown,
)
from finetune_guard.openai_api.flow import Flow
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder

logger = logging.getLogger("finetune_guard")

_MOST_TRIED = 1_000
_SYNCABLE = (*ASKABLE, Reason.REFUSED, Reason.HISTORY_UNAVAILABLE)
_JUST_READ = timedelta(minutes=1)
_USUAL_SPAN = timedelta(days=60)


class UsageReader:
    """Reads usage into histories, and not again for a decision what was just tried."""

    def __init__(
        self, recorder: Recorder, decider: Decider, identification: Identification, window: timedelta | None
    ) -> None:
        self._recorder = recorder
        self._decider = decider
        self._identification = identification
        self._window = window or _USUAL_SPAN
        self._tried: dict[Credentials, tuple[datetime, list[UsageSyncError]]] = {}

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
            UsageSyncError: There is no admin key, it may not, or nothing could be read; or no answer of the
                API has named the credentials' organization.
        """
        if admin_key is None:
            raise UsageSyncError(NO_ADMIN_KEY, remedy=NO_ADMIN_KEY)
        credentials, listing = yield from self._identification.identify(credentials)
        organization = self._decider.organization_of(credentials)
        if organization is None:
            failure = listing.failure if listing is not None else None
            raise whose_key_is_unknown(failure) from failure
        evidence, _ = self._decider.evidence(credentials)
        now = self._decider.now()
        span = timedelta(days=days) if days is not None else self._window
        subject = Subject(organization, credentials)
        flow = synchronize(
            self._recorder,
            subject,
            admin_key,
            known=evidence,
            span=(now - span, now),
            window=self._window,
            progress=progress,
        )
        return (yield from flow)

    def before_call(self, credentials: Credentials, admin_key: str | None) -> Flow[list[UsageSyncError]]:
        """Read the usage before a call, unless that was just tried; return why it failed, if it did."""
        now = self._decider.now()
        tried_at, failures = self._tried.get(credentials, (None, []))
        if tried_at is not None and abs(now - tried_at) < _JUST_READ:
            return failures
        if len(self._tried) >= _MOST_TRIED:
            self._tried.clear()
        failures = yield from self.for_decision(credentials, admin_key)
        self._tried[credentials] = now, failures
        return failures

    def for_decision(self, credentials: Credentials, admin_key: str | None) -> Flow[list[UsageSyncError]]:
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


def may_help(eligibility: Eligibility, admin_key: str | None) -> bool:
    """Whether reading the usage is possible, may change the verdict, and wasn't done just now."""
    read_until = eligibility.covered_until
    just_read = read_until is not None and abs(eligibility.checked_at - read_until) < _JUST_READ
    return admin_key is not None and not just_read and eligibility.reason in _SYNCABLE
