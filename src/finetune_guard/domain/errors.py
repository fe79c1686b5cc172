"""The errors and warnings of finetune-guard.

openai.OpenAIError
└── FineTuneGuardError
    ├── NotEligibleError
    │   ├── FineTuningClosedError
    │   ├── InferenceWindowExpiredError
    │   ├── NoInferenceRecordedError
    │   ├── NeverFineTunedError
    │   └── FineTuningRefusedError      (also an openai.PermissionDeniedError)
    ├── ModelLifetimeError
    │   ├── BaseModelShutDownError
    │   ├── ShortLivedModelError
    │   └── FineTunedModelShutDownError (also an openai.NotFoundError)
    ├── KeepAliveError
    ├── UsageSyncError
    │   └── UnreadableUsageError
    ├── StoreError
    └── GuardConfigError                (also a ValueError)

UserWarning
└── FineTuneGuardWarning
    ├── PolicyBoundaryWarning
    ├── HistoryUnavailableWarning
    ├── ShortLivedModelWarning
    └── ModelSunsetWarning
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finetune_guard.domain.shutdowns import Shutdown
    from finetune_guard.domain.verdict import Eligibility


class FineTuneGuardError(openai.OpenAIError):
    """Root of everything that finetune-guard raises.

    It is an ``openai.OpenAIError``, so existing ``except`` clauses go on working.

    Attributes:
        eligibility: The decision behind the error; None where there was none.
        remedy: What to do now, in one or two sentences; None where nothing is known to help.
    """

    eligibility: Eligibility | None
    remedy: str | None

    def __init__(
        self, message: str, *, eligibility: Eligibility | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.eligibility = eligibility
        self.remedy = remedy or (eligibility.remedy if eligibility is not None else None)


class NotEligibleError(FineTuneGuardError):
    """A fine-tuning job, or the upload for one, was stopped; ``eligibility`` says why."""


class FineTuningClosedError(NotEligibleError):
    """The last date of the policy has passed: nobody can create fine-tuning jobs any more."""


class InferenceWindowExpiredError(NotEligibleError):
    """The latest inference known for the organization is older than the policy's window."""


class NoInferenceRecordedError(NotEligibleError):
    """No inference of the organization is known, and nothing that could be asked told of one."""


class NeverFineTunedError(NotEligibleError):
    """No trace of earlier fine-tuning was found, which the policy requires since May 7, 2026."""


class FineTuningRefusedError(NotEligibleError, openai.PermissionDeniedError):
    """The API itself refused the job with 403 ``training_not_available``.

    It carries what every ``openai.PermissionDeniedError`` carries. When a remembered refusal
    answers, without a new request, ``response`` is rebuilt from what was remembered and
    ``remembered`` is true.
    """

    remembered: bool

    def __init__(
        self,
        message: str,
        *,
        response: Any,
        body: object | None,
        eligibility: Eligibility | None = None,
        remedy: str | None = None,
        remembered: bool = False,
    ) -> None:
        openai.PermissionDeniedError.__init__(self, message, response=response, body=body)
        self.eligibility = eligibility
        self.remedy = remedy or (eligibility.remedy if eligibility is not None else None)
        self.remembered = remembered


class ModelLifetimeError(FineTuneGuardError):
    """A model is gone, or would be too soon.

    Attributes:
        model: The model that the call named.
        shutdown: When it ends and where that date comes from; that of its fine-tunes where a job was to
            be created from a base that is still alive.
    """

    model: str | None
    shutdown: Shutdown | None

    def __init__(
        self,
        message: str,
        *,
        model: str | None = None,
        shutdown: Shutdown | None = None,
        eligibility: Eligibility | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, eligibility=eligibility, remedy=remedy)
        self.model = model
        self.shutdown = shutdown


class BaseModelShutDownError(ModelLifetimeError):
    """The model that a fine-tuning job was to start from is shut down already."""


class ShortLivedModelError(ModelLifetimeError):
    """A fine-tune of this base would live less than ``GuardConfig.min_model_lifetime``."""


class FineTunedModelShutDownError(ModelLifetimeError, openai.NotFoundError):
    """The API answered 404 for a fine-tuned model whose published last day has come.

    It carries what every ``openai.NotFoundError`` carries.
    """

    def __init__(
        self,
        message: str,
        *,
        response: Any,
        body: object | None,
        model: str | None = None,
        shutdown: Shutdown | None = None,
        eligibility: Eligibility | None = None,
        remedy: str | None = None,
    ) -> None:
        openai.NotFoundError.__init__(self, message, response=response, body=body)
        self.eligibility = eligibility
        self.remedy = remedy
        self.model = model
        self.shutdown = shutdown


class KeepAliveError(FineTuneGuardError):
    """No candidate model answered the keep-alive inference.

    Attributes:
        attempts: For each model that was tried, why it did not answer.
    """

    attempts: Mapping[str, str]

    def __init__(
        self,
        message: str,
        *,
        attempts: Mapping[str, str] | None = None,
        eligibility: Eligibility | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, eligibility=eligibility, remedy=remedy)
        self.attempts = dict(attempts or {})


class UsageSyncError(FineTuneGuardError):
    """The organization's usage could not be read, or not all of it; the API's error, if any, is chained."""


class UnreadableUsageError(UsageSyncError):
    """The API's answer is not a page of usage as it is documented."""


class StoreError(FineTuneGuardError):
    """A history could not be read or written; the cause is chained."""


class GuardConfigError(FineTuneGuardError, ValueError):
    """A configuration value is wrong; the message names the field, the value and what is allowed."""


class FineTuneGuardWarning(UserWarning):
    """Root of the warnings of finetune-guard."""


class PolicyBoundaryWarning(FineTuneGuardWarning):
    """A date of the policy is being crossed somewhere on Earth; the API decides, not the guard."""


class HistoryUnavailableWarning(FineTuneGuardWarning):
    """The history can't be read or written; calls go through without its knowledge."""


class ShortLivedModelWarning(FineTuneGuardWarning):
    """A fine-tune of this base will live less than ``GuardConfig.warn_below_lifetime``."""


class ModelSunsetWarning(FineTuneGuardWarning):
    """A fine-tuned model in use ends within 30 days."""
