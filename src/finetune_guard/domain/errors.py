"""The errors and warnings of finetune-guard.

openai.OpenAIError
└── FineTuneGuardError
    ├── NotEligibleError                (also an openai.PermissionDeniedError)
    │   ├── FineTuningClosedError
    │   ├── InferenceWindowExpiredError
    │   ├── NoInferenceRecordedError
    │   ├── NeverFineTunedError
    │   └── FineTuningRefusedError
    ├── ModelLifetimeError
    │   ├── BaseModelShutDownError
    │   ├── ShortLivedModelError
    │   └── FineTunedModelShutDownError (also an openai.NotFoundError)
    ├── ProviderLossError               (also an openai.APIStatusError)
    │   ├── DeploymentGoneError         (also an openai.NotFoundError)
    │   ├── DeploymentScalingUpError    (also an openai.InternalServerError)
    │   └── ModelAccessLostError        (also an openai.NotFoundError)
    ├── KeepAliveError
    ├── UsageSyncError
    │   └── UnreadableUsageError
    ├── ExportError
    ├── AzureListingError
    ├── StoreError
    └── GuardConfigError                (also a ValueError)

UserWarning
└── FineTuneGuardWarning
    ├── EligibilityWarning
    ├── PolicyBoundaryWarning
    ├── HistoryUnavailableWarning
    ├── ShortLivedModelWarning
    └── ModelSunsetWarning
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai

from finetune_guard.domain.api_responses import copied, not_sent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from finetune_guard.domain.shutdowns import Shutdown
    from finetune_guard.domain.verdict import Eligibility


class FineTuneGuardError(openai.OpenAIError):
    """Root of everything that finetune-guard raises.

    It is an ``openai.OpenAIError``, so existing ``except`` clauses go on working. It can be copied and
    pickled; a copy holds no request headers, and so no key.

    Attributes:
        eligibility: The decision behind the error; None where there was none.
        remedy: What to do now; None where nothing is known to help.
    """

    eligibility: Eligibility | None
    remedy: str | None

    def __init__(
        self, message: str, *, eligibility: Eligibility | None = None, remedy: str | None = None, **more: Any
    ) -> None:
        if isinstance(self, openai.APIStatusError):  # which needs the answer's response and body
            openai.APIStatusError.__init__(self, message, **more)
        else:
            super().__init__(message, **more)
        self.eligibility = eligibility
        self.remedy = remedy or (eligibility.remedy if eligibility is not None else None)

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(vars(self))
        if "response" in state:
            state["response"] = copied(state["response"])
            state["request"] = getattr(state["response"], "request", None)
        return _restored, (type(self), self.args, state)


def _restored(kind: type[FineTuneGuardError], args: tuple[object, ...], state: dict[str, object]) -> object:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class NotEligibleError(FineTuneGuardError, openai.PermissionDeniedError):
    """A fine-tuning job, or the upload for one, was stopped; ``eligibility`` says why.

    It is also the ``openai.PermissionDeniedError`` (403, ``training_not_available``) that the API answers to
    an organization that may not create jobs. Where nothing was sent, ``response`` is made up: it has the
    header ``x-finetune-guard-sent: false`` and no ``request_id``. It is chained to the ``UsageSyncError`` or
    ``KeepAliveError`` where the usage could not be read or a keep-alive failed.

    Attributes:
        sent: Whether the call was sent and the API itself refused it.
    """

    sent: bool

    def __init__(
        self,
        message: str,
        *,
        eligibility: Eligibility | None = None,
        remedy: str | None = None,
        response: Any = None,
        body: object | None = None,
        url: str | None = None,
    ) -> None:
        self.sent = response is not None
        if response is None:
            refusal = eligibility.refusal if eligibility is not None else None
            details = {
                "message": refusal.message if refusal is not None else message.partition("\n")[0],
                "type": "invalid_request_error",
                "param": None,
                "code": refusal.code if refusal is not None else "training_not_available",
            }
            response, body = not_sent(details, url), details
        super().__init__(message, eligibility=eligibility, remedy=remedy, response=response, body=body)


class FineTuningClosedError(NotEligibleError):
    """The last date of the policy has passed: nobody can create fine-tuning jobs any more."""


class InferenceWindowExpiredError(NotEligibleError):
    """No inference within the policy's window is known.

    If the verdict is ``ineligible``, the organization's usage showed none just now. If it is ``unknown``, the
    last inference that this history saw is too old, and another program may have run one since.
    """


class NoInferenceRecordedError(NotEligibleError):
    """No inference of the organization is known, and nothing that could be asked told of one."""


class NeverFineTunedError(NotEligibleError):
    """No trace of earlier fine-tuning was found, which the policy requires since May 7, 2026."""


class FineTuningRefusedError(NotEligibleError):
    """The API itself refused the job with 403 ``training_not_available``.

    While the refusal is remembered, it is raised without a new request: ``remembered`` is true then, and
    ``body`` is what was remembered.
    """

    @property
    def remembered(self) -> bool:
        """Whether the refusal was given to an earlier call, and this one was not sent."""
        return not self.sent


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
        self, message: str, *, model: str | None = None, shutdown: Shutdown | None = None, **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.model = model
        self.shutdown = shutdown


class BaseModelShutDownError(ModelLifetimeError):
    """The model that a fine-tuning job was to start from is shut down already."""


class ShortLivedModelError(ModelLifetimeError):
    """A fine-tune of this base would live less than ``GuardConfig.min_model_lifetime``."""


class FineTunedModelShutDownError(ModelLifetimeError, openai.NotFoundError):
    """The API answered 404 for a fine-tuned model whose published last day has come."""


class ProviderLossError(FineTuneGuardError, openai.APIStatusError):
    """A provider answered that it does not serve a deployment or model any more, or not yet again.

    It carries what the SDK's own error for the answer carries, and each subclass is also of that class.

    Attributes:
        model: The deployment or model that the call named; None where it is not known.
        last_call: The last call of it that this history knows; None where it knows none.
        is_verified: Whether the provider's answer is known from its documentation or from many reports. If
            not, it was recognized by its status and a word in its body, and can mean something else.
    """

    model: str | None
    last_call: datetime | None
    is_verified: bool

    def __init__(
        self,
        message: str,
        *,
        model: str | None = None,
        last_call: datetime | None = None,
        is_verified: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message, **more)
        self.model = model
        self.last_call = last_call
        self.is_verified = is_verified


class DeploymentGoneError(ProviderLossError, openai.NotFoundError):
    """The provider does not find a deployment that has answered before; it can be deployed again."""


class DeploymentScalingUpError(ProviderLossError, openai.InternalServerError):
    """A deployment was scaled to zero while nobody called it, and is starting again."""


class ModelAccessLostError(ProviderLossError, openai.NotFoundError):
    """The provider has withdrawn a model from an account that did not call it for too long."""


class KeepAliveError(FineTuneGuardError):
    """No candidate model answered the keep-alive inference.

    Attributes:
        attempts: For each model that was tried, why it did not answer.
    """

    attempts: Mapping[str, str]

    def __init__(self, message: str, *, attempts: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.attempts = dict(attempts or {})


class UsageSyncError(FineTuneGuardError):
    """The organization's usage could not be read, or not all of it; the API's error, if any, is chained."""


class UnreadableUsageError(UsageSyncError):
    """The API's answer is not a page of usage as it is documented."""


class ExportError(FineTuneGuardError):
    """An export could not be begun, went no further, or can't be read; the cause is chained."""


class AzureListingError(FineTuneGuardError):
    """Azure's management API did not list the deployments of a subscription; its error is chained."""


class StoreError(FineTuneGuardError):
    """A history could not be read or written; the cause is chained."""


class GuardConfigError(FineTuneGuardError, ValueError):
    """A configuration value is wrong; the message names the field, the value and what is allowed."""


class FineTuneGuardWarning(UserWarning):
    """Root of the warnings of finetune-guard."""


class EligibilityWarning(FineTuneGuardWarning):
    """A call goes through although the organization may not be eligible: the API decides, not the guard."""


class PolicyBoundaryWarning(FineTuneGuardWarning):
    """A date of the policy is being crossed somewhere on Earth; the API decides, not the guard."""


class HistoryUnavailableWarning(FineTuneGuardWarning):
    """The history can't be read or written; calls go through without its knowledge."""


class ShortLivedModelWarning(FineTuneGuardWarning):
    """A fine-tune of this base will live less than ``GuardConfig.warn_below_lifetime``."""


class IdleDeploymentWarning(FineTuneGuardWarning):
    """A deployment was called again shortly before its end, for want of calls, would have come."""


class ModelSunsetWarning(FineTuneGuardWarning):
    """A fine-tuned model in use ends within 30 days."""
