"""The events for `GuardConfig(on_event=...)` and `finetune-guard alert`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from finetune_guard.domain.policy import UtcDatetime
from finetune_guard.domain.values import Value
from finetune_guard.domain.verdict import Reason, Verdict


class Event(Value):
    """The root of all events. An event never holds a key, a prompt or a completion.

    Attributes:
        kind: The name of the event, for logs and webhooks.
        at: When it happened, in UTC.
        organization: The slug, or the ``org-`` id; None if neither is known.
        message: What happened and what to do, in words.
    """

    model_config = ConfigDict(ser_json_timedelta="float")

    kind: ClassVar[str]
    at: UtcDatetime
    organization: str | None = None
    message: str


class JobStopped(Event):
    """A fine-tuning job, or the upload for one, was stopped by the guard or refused by the API's policy.

    Attributes:
        model: The model to be tuned, if the call names one.
        sent: Whether the call was sent and the API itself refused it.
        error: The name of the error that was raised.
        verdict: The verdict behind it; None if none was needed.
    """

    kind: ClassVar[str] = "job_stopped"
    call: Literal["job", "upload"]
    model: str | None = None
    sent: bool = False
    error: str
    verdict: Verdict | None = None
    reason: Reason | None = None


class KeepAliveSent(Event):
    """A keep-alive was sent, and ``model`` answered it."""

    kind: ClassVar[str] = "keep_alive_sent"
    model: str


class KeepAliveFailed(Event):
    """A keep-alive was due, and no model answered it; ``attempts`` gives the reason for each model."""

    kind: ClassVar[str] = "keep_alive_failed"
    attempts: Mapping[str, str] = Field(default_factory=dict)


class WindowClosing(Event):
    """Jobs can be created for 30, 15, 7 days or 1 day more (``within_days``), if nothing changes."""

    kind: ClassVar[str] = "window_closing"
    jobs_until: UtcDatetime
    remaining: timedelta
    within_days: int


class ModelEnding(Event):
    """Models end in 30, 15, 7 days or 1 day (``within_days``). The published day can be off by one."""

    kind: ClassVar[str] = "model_ending"
    models: tuple[str, ...]
    ends_on: date
    days_left: int
    within_days: int


class HistoryUnavailable(Event):
    """The history at ``location`` can't be read or written. Calls go through without it."""

    kind: ClassVar[str] = "history_unavailable"
    location: str


class DeploymentEnding(Event):
    """A deployment ends in 30, 15, 7 days or 1 day (``within_days``). Sent only by ``finetune-guard alert``.

    Attributes:
        resource: The resource it belongs to, such as ``acme.openai.azure.com``.
        cause: Why it ends: nobody calls it, or its base model retires for deployments or training.
        ends_on: The day, give or take one.
    """

    kind: ClassVar[str] = "deployment_ending"
    resource: str
    deployment: str
    cause: str
    ends_on: date
    days_left: int
    within_days: int


class VerdictChanged(Event):
    """The verdict differs from the last one sent, ``previous``; before the first one that is ``eligible``.

    Sent only by ``finetune-guard alert``.
    """

    kind: ClassVar[str] = "verdict_changed"
    verdict: Verdict
    reason: Reason
    previous: Verdict
