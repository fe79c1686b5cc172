"""Read an organization's usage into its history, on request and for decisions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import openai

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.errors import UsageSyncError
from finetune_guard.domain.facts import Inference, ModelRequests, Span, merge_spans
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, Credentials, Subject, project_id
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.values import Value
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.decider import ASKABLE, Decider
from finetune_guard.engine.identification import Identification
from finetune_guard.openai_api.errors import is_transient, status_and_code
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.usage import read_usage
from finetune_guard.openai_api.usage_pages import Precision, UsagePage

logger = logging.getLogger("finetune_guard")

_FLUSH_TIMEOUT = 10.0
_READ_AGAIN = timedelta(days=31)
"""How far back usage is read again, since it may lag; this is one page."""

_SYNCABLE = (*ASKABLE, Reason.REFUSED, Reason.HISTORY_UNAVAILABLE)
_JUST_READ = timedelta(minutes=1)
_USUAL_WINDOW = timedelta(days=60)

_GET_A_KEY = (
    "An owner of the organization can make an admin key. Give it as OPENAI_ADMIN_KEY, as the client's "
    "admin_api_key, or as GuardConfig(admin_api_key=...); only the last one, "
    "FINETUNE_GUARD_ADMIN_API_KEY in the environment, is sent to a host that GuardConfig(hosts=...) names."
)
_NO_HEADER = "The admin key can't be sent: it has characters that no header can have."
_NO_ADMIN_KEY = "The organization's usage can only be read with an admin key."


class SyncProgress(Value):
    """How many of its days a sync has read."""

    days_read: int
    days: int


class UsageSync(Value):
    """The result of reading an organization's usage.

    Attributes:
        organization: The organization's slug.
        start: The start of the requested time, in UTC.
        end: Its end: the time of the API's last response.
        covered_until: The end of the time read without a gap, now and earlier. Anything that the API's
            responses leave out counts as not read.
        complete: Whether all of it was read; otherwise the next sync continues where this one ended.
        last_inference: The latest inference in the part read now; None if there was none.
        precision: How exactly the time of that inference is known; None if there was none.
        models: The number of fine-tuned models used in the part read now.
        projects: The projects that called them.
        requests: How often each project called each model on each day of that part.
        failure: Why not all was read, as status and code if the API said so; None if all was.
    """

    organization: str
    start: UtcDatetime
    end: UtcDatetime
    covered_until: UtcDatetime
    complete: bool
    last_inference: Inference | None
    precision: Precision | None
    models: int
    projects: tuple[str, ...]
    requests: tuple[ModelRequests, ...] = ()
    failure: str | None = None


class UsageReader:
    """Reads usage into histories; for decisions, at most once a minute."""

    def __init__(self, decider: Decider, identification: Identification) -> None:
        self._decider = decider
        self._identification = identification
        self._window = decider.config.policy.window or _USUAL_WINDOW
        self._tried: Bounded[Credentials, tuple[datetime, list[UsageSyncError]]] = Bounded()

    def sync(
        self,
        credentials: Credentials,
        admin_key: str | None,
        *,
        days: int | None = None,
        progress: Callable[[SyncProgress], object] | None = None,
    ) -> Flow[UsageSync]:
        """Read the organization's usage into its history; older usage read before is skipped.

        Raises:
            UsageSyncError: There is no admin key, it lacks the permission, or nothing could be read; or the
                credentials' organization is unknown, or isn't the admin key's.
        """
        if admin_key is None:
            raise UsageSyncError(_NO_ADMIN_KEY, remedy=_GET_A_KEY)
        credentials, listing = yield from self._identification.identify(credentials, confirm=True)
        organization = self._decider.organization_of(credentials)
        if organization is None:
            failure = listing.failure if listing is not None else None
            _, is_readable = self._decider.evidence(credentials)
            raise _organization_unknown_error(failure, is_readable=is_readable) from failure
        if not (admin_key.isascii() and admin_key.isprintable()):  # httpx would fail in its own way
            raise UsageSyncError(_NO_HEADER, remedy=_GET_A_KEY)
        evidence, _ = self._decider.evidence(credentials)
        now = self._decider.now()
        first = _midnight(now - (timedelta(days=days) if days is not None else self._window))
        read_until = evidence.usage_read_until(first)
        begin = first if read_until is None else _midnight(min(max(first, read_until - _READ_AGAIN), now))
        subject, recorder = Subject(organization, credentials), self._decider.recorder
        read_now: list[Span] = []

        def record_page(page: UsagePage) -> None:
            # The end of the read time is recorded one page late: it is proof only with the last inference.
            facts = {
                "last_inference": self._if_in_window(page.newest, page.at),
                "usage_read": merge_spans(read_now),
            }
            evidence_read = page.history.evidence.model_copy(update=facts)
            read_now.extend(page.history.evidence.usage_read)
            projects = filter(None, map(project_id, page.projects))
            recorder.merge(subject, page.history.model_copy(update={"evidence": evidence_read}), projects)
            if progress is not None:
                until = min(page.end, page.at)
                progress(SyncProgress(days_read=_days(begin, until), days=_days(begin, page.at)))

        read = yield from read_usage(begin, organization=organization, key=admin_key, on_page=record_page)
        if read.failure is not None and read.pages == 0:
            raise _read_error(read.failure) from read.failure
        latest = read.latest  # with its final precision
        last = latest if read.complete else self._if_in_window(latest, read.end)
        read_evidence = Evidence(organization=UNNAMED, last_inference=last, usage_read=merge_spans(read_now))
        recorder.merge(
            subject, History(evidence=read_evidence, models={latest.model: latest} if latest else {})
        )
        recorder.flush(_FLUSH_TIMEOUT)
        return UsageSync(
            organization=organization,
            start=first,
            end=read.end,
            covered_until=max(filter(None, (read.covered_until, read_until))),
            complete=read.complete,
            last_inference=latest,
            precision=read.precision,
            models=read.models,
            projects=tuple(sorted(read.projects)),
            requests=read.requests,
            failure=_describe(read.failure) if read.failure is not None else None,
        )

    def _if_in_window(self, last: Inference | None, at: datetime) -> Inference | None:
        """Return ``last`` if it keeps the window open at ``at``.

        An inference before the window must not pass for the latest until all usage is read: the rest may
        show a later one.
        """
        return last if last is not None and at - last.at < self._window else None

    def before_call(self, credentials: Credentials, admin_key: str | None) -> Flow[list[UsageSyncError]]:
        """Read the usage before a call, unless that was just tried; return the errors, if any."""
        now = self._decider.now()
        tried_at, failures = self._tried.get(credentials, (None, []))
        if tried_at is None or abs(now - tried_at) >= _JUST_READ:
            failures = yield from self.for_decision(credentials, admin_key)
            self._tried[credentials] = now, failures
        return failures

    def for_decision(self, credentials: Credentials, admin_key: str | None) -> Flow[list[UsageSyncError]]:
        """Read the usage for a decision, which does without it if that fails; return the errors, if any."""
        try:
            done = yield from self.sync(credentials, admin_key)
        except UsageSyncError as error:
            failure = error
        else:
            if done.complete:
                return []
            failure = _incomplete_error(done)
        logger.warning("%s", failure)
        return [failure]


def may_help(eligibility: Eligibility, admin_key: str | None) -> bool:
    """Whether reading the usage is possible, may change the verdict, and was not just done."""
    read_until = eligibility.covered_until
    just_read = read_until is not None and abs(eligibility.checked_at - read_until) < _JUST_READ
    return admin_key is not None and not just_read and eligibility.reason in _SYNCABLE


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _days(start: datetime, end: datetime) -> int:
    return -((start - end) // timedelta(days=1))


def _describe(failure: openai.APIError | UsageSyncError) -> str:
    return status_and_code(failure) if isinstance(failure, openai.APIError) else str(failure)


def _organization_unknown_error(failure: openai.APIError | None, *, is_readable: bool) -> UsageSyncError:
    why = "no answer of the API names it"
    remedy = "A gateway may strip the openai-organization header: read the usage from api.openai.com."
    if failure is not None:
        why = f"the API could not be asked: {status_and_code(failure)}"
        remedy = "Try again later." if is_transient(failure) else "Use a client whose key the API accepts."
    elif not is_readable:
        why, remedy = "the history can't be read", "To see what is wrong with it: finetune-guard config"
    return UsageSyncError(
        f"Which organization the client's key belongs to is not known ({why}), so nobody can tell whether "
        "the admin key belongs to the same one. No usage was read.",
        remedy=remedy,
    )


def _incomplete_error(done: UsageSync) -> UsageSyncError:
    until, why = f"{done.covered_until:%Y-%m-%d %H:%M} UTC", (done.failure or "").removesuffix(".")
    message = f"The organization's usage was read up to {until} only: {why}."
    return UsageSyncError(message, remedy="Another sync goes on from there.")


def _read_error(failure: openai.APIError | UsageSyncError) -> UsageSyncError:
    reason = _describe(failure)
    if not isinstance(failure, openai.APIError):
        return UsageSyncError(
            reason, remedy=failure.remedy or "Try again later; a gateway in between may be the cause."
        )
    if isinstance(failure, (openai.AuthenticationError, openai.PermissionDeniedError)):
        message = f"The API does not let the admin key read the organization's usage ({reason})."
        return UsageSyncError(message, remedy=_GET_A_KEY)
    message = f"The organization's usage could not be read ({reason})."
    return UsageSyncError(message, remedy="Try again later: what was read before is kept.")
