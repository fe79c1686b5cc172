"""Reading the whole organization's usage into its history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import openai
from pydantic import BaseModel, ConfigDict

from finetune_guard.domain.errors import UsageSyncError
from finetune_guard.domain.facts import Inference, ModelRequests, Span, united
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED, project_id
from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.openai_api.errors import in_short
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.usage import UsageRead, read_usage
from finetune_guard.openai_api.usage_pages import Precision, UsagePage
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder

FLUSH_TIMEOUT = 10.0
"""Seconds to wait at most for what was read to be stored."""

_READ_ANEW = timedelta(days=31)
"""How much is read again although it was read before: usage may lag, and this is one page."""

_GET_A_KEY = (
    "An owner of the organization can make an admin key. Give it as OPENAI_ADMIN_KEY, as the client's "
    "admin_api_key, or as GuardConfig(admin_api_key=...); only the last one, "
    "FINETUNE_GUARD_ADMIN_API_KEY in the environment, is sent to a host that GuardConfig(hosts=...) names."
)
_NO_HEADER = "The admin key can't be sent: it has characters that no header can have."
NO_ADMIN_KEY = f"The organization's usage can only be read with an admin key. {_GET_A_KEY}"


class SyncProgress(BaseModel):
    """How far a sync has come.

    Attributes:
        days_read: How many days were read.
        days: How many there are to read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    days_read: int
    days: int


class UsageSync(BaseModel):
    """What came of reading the organization's usage.

    Attributes:
        organization: The organization's slug.
        start: From when on the usage was asked for, in UTC.
        end: Up to when it was: the time of the API's last answer.
        covered_until: Up to when it was read without a gap, now and earlier. What the API's answers leave
            out counts as not read.
        complete: Whether all of it was read; another sync goes on where this one ended.
        last_inference: The latest inference in the part that was read now; None where there was none.
        precision: How exactly the time of that is known; None where there was none.
        models: How many fine-tuned models were run in the part that was read now.
        projects: The projects that ran them.
        requests: How often each model was called on each day of that part, and by which project.
        failure: Why not all was read, as status and code where the API said so; None when all was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def synchronize(
    recorder: Recorder,
    subject: Subject,
    key: str,
    *,
    known: Evidence,
    span: tuple[datetime, datetime],
    window: timedelta,
    progress: Callable[[SyncProgress], object] | None = None,
) -> Flow[UsageSync]:
    """Read an organization's usage into its history; what is known for long is not read again.

    Args:
        recorder: What is read goes there, page by page, so that a cut in the middle loses nothing.
        subject: Whose history it is. The API has named the organization in an answer to these credentials.
        key: The admin key.
        known: What is known of the organization.
        span: The beginning, which is moved to the start of its day (UTC), and the present time.
        window: How old an inference may be to keep the policy's window open.
        progress: Told after each page; None for nobody.

    Raises:
        UsageSyncError: Nothing could be read, or the key is that of another organization.
    """
    if not (key.isascii() and key.isprintable()):  # the HTTP library would fail in its own way
        raise UsageSyncError(f"{_NO_HEADER} {_GET_A_KEY}", remedy=_GET_A_KEY)
    organization, (start, now) = subject.organization, span
    assert organization is not None
    first = _midnight(start)
    read_until = known.usage_read_until(first)
    begin = first if read_until is None else _midnight(min(max(first, read_until - _READ_ANEW), now))
    read_now: list[Span] = []

    def learn(page: UsagePage) -> None:
        # Up to where it was read is learnt a page late: only with the last inference is it proof.
        facts = {"last_inference": _decisive(page.newest, page.at, window), "usage_read": united(read_now)}
        told = page.history.evidence.model_copy(update=facts)
        read_now.extend(page.history.evidence.usage_read)
        projects = filter(None, map(project_id, page.projects))
        recorder.merge(subject, page.history.model_copy(update={"evidence": told}), projects)
        if progress is not None:
            until = min(page.end, page.at)
            progress(SyncProgress(days_read=_days(begin, until), days=_days(begin, page.at)))

    read = yield from read_usage(begin, organization=organization, key=key, learn=learn)
    if read.failure is not None and read.pages == 0:
        raise _failed(read.failure) from read.failure
    _note_latest(recorder, subject, read, united(read_now), window)
    recorder.flush(FLUSH_TIMEOUT)
    return UsageSync(
        organization=organization,
        start=first,
        end=read.end,
        covered_until=max(filter(None, (read.covered_until, read_until))),
        complete=read.complete,
        last_inference=read.latest,
        precision=read.precision,
        models=read.models,
        projects=tuple(sorted(read.projects)),
        requests=read.requests,
        failure=_why(read.failure),
    )


def _note_latest(
    recorder: Recorder, subject: Subject, read: UsageRead, spans: tuple[Span, ...], window: timedelta
) -> None:
    """Note the latest inference as exactly as it is known now, and for when that is so."""
    latest = read.latest
    evidence = Evidence(
        organization=UNNAMED,
        last_inference=latest if read.complete else _decisive(latest, read.end, window),
        usage_read=spans,
    )
    recorder.merge(subject, History(evidence=evidence, models={latest.model: latest} if latest else {}))


def _decisive(last: Inference | None, at: datetime, window: timedelta) -> Inference | None:
    """Return ``last`` if it keeps the window open at ``at``.

    One before the window decides nothing until all is read: it would pass for the latest, and what isn't
    read yet may tell of a later one.
    """
    return last if last is not None and at - last.at < window else None


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def whose_key_is_unknown(failure: openai.APIError | None) -> UsageSyncError:
    """Return what is said where no answer of the API has named the organization of the client's key."""
    why = "no answer of the API names it"
    if failure is not None:
        why = f"the API could not be asked: {in_short(failure)}"
    remedy = "A gateway may strip the openai-organization header: read the usage from api.openai.com."
    return UsageSyncError(
        f"Which organization the client's key belongs to is not known ({why}), so nobody can tell whether "
        "the admin key belongs to the same one. No usage was read.",
        remedy=remedy if failure is None else "Use a client whose key the API accepts.",
    )


def broken_off(done: UsageSync) -> UsageSyncError:
    """Return what is to be said about a reading that is not complete."""
    remedy = "Another sync goes on from there."
    until = f"{done.covered_until:%Y-%m-%d %H:%M} UTC"
    why = (done.failure or "").removesuffix(".")
    return UsageSyncError(
        f"The organization's usage was read up to {until} only: {why}. {remedy}", remedy=remedy
    )


def _days(start: datetime, end: datetime) -> int:
    return -((start - end) // timedelta(days=1))


def _why(failure: openai.APIError | UsageSyncError | None) -> str | None:
    return in_short(failure) if isinstance(failure, openai.APIError) else str(failure) if failure else None


def _failed(failure: openai.APIError | UsageSyncError) -> UsageSyncError:
    if not isinstance(failure, openai.APIError):
        remedy = failure.remedy or "Try again later; a gateway in between may be the cause."
        return UsageSyncError(str(failure), remedy=remedy)
    said = in_short(failure)
    if isinstance(failure, (openai.AuthenticationError, openai.PermissionDeniedError)):
        message = f"The API does not let the admin key read the organization's usage ({said})."
        return UsageSyncError(f"{message} {_GET_A_KEY}", remedy=_GET_A_KEY)
    remedy = "Try again later: what was read before is kept."
    return UsageSyncError(f"The organization's usage could not be read ({said}). {remedy}", remedy=remedy)
