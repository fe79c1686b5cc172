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
    ├── IdleDeploymentWarning
    └── ModelSunsetWarning
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from finetune_guard.domain.shutdowns import Shutdown
    from finetune_guard.domain.verdict import Eligibility

_ENDS = (".", "?")
_JOBS_URL = "https://api.openai.com/v1/fine_tuning/jobs"
_TRANSFER_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})


class FineTuneGuardError(openai.OpenAIError):
    """Root of everything that finetune-guard raises. Existing ``except`` clauses go on working.

    It can be copied and pickled; a copy holds no request headers, and so no key.

    Attributes:
        eligibility: The decision behind the error; None if there was none.
        remedy: What to do now, which the message says too; None if nothing is known to help.
    """

    def __init__(
        self, message: str, *, eligibility: Eligibility | None = None, remedy: str | None = None, **more: Any
    ) -> None:
        if remedy is not None and remedy not in message:
            message = f"{message}{'' if message.endswith(_ENDS) else '.'} {remedy}"
        if isinstance(self, openai.APIStatusError):  # it needs the response and its body
            openai.APIStatusError.__init__(self, message, **more)
        else:
            super().__init__(message, **more)
        self.eligibility = eligibility
        self.remedy = remedy or (eligibility.remedy if eligibility is not None else None)

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(vars(self))
        if "response" in state:
            state["response"] = _copy_response(state["response"])
            state["request"] = getattr(state["response"], "request", None)
        return type(self).__new__, (type(self), *self.args), state


def _made_up_response(details: Mapping[str, object], url: str | None) -> Any:
    """Return a response like the one that the API gives to a job that it refuses."""
    library = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__)  # httpx or httpx2
    request = library.Request("POST", url or _JOBS_URL)
    headers = {"x-finetune-guard-sent": "false"}
    return library.Response(403, headers=headers, json={"error": dict(details)}, request=request)


def _copy_response(response: Any) -> Any:
    """Return a copy that can be pickled: status, headers, and the body if it was read, but no request header.

    A response of any other library is returned unchanged.
    """
    bases = (base.__module__.partition(".")[0] for base in type(response).__mro__)
    name = next((name for name in bases if name in ("httpx", "httpx2")), None)
    if name is None:
        return response
    library = importlib.import_module(name)
    kept = [(key, value) for key, value in response.headers.multi_items() if key not in _TRANSFER_HEADERS]
    try:
        content = response.content
    except library.StreamError:  # the body was not read, or went to the program
        content = b""
    request = library.Request(response.request.method, response.request.url)
    return library.Response(response.status_code, headers=kept, content=content, request=request)


class NotEligibleError(FineTuneGuardError, openai.PermissionDeniedError):
    """A fine-tuning job, or the upload for one, was stopped; ``eligibility`` says why.

    It is also the ``openai.PermissionDeniedError`` (403, ``training_not_available``) that the API answers to
    an organization that may not create jobs. ``sent`` is whether it did; if not, ``response`` is made up,
    with the header ``x-finetune-guard-sent: false`` and no ``request_id``. A ``UsageSyncError`` or
    ``KeepAliveError`` that led to it is chained.
    """

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
            response, body = _made_up_response(details, url), details
        super().__init__(message, eligibility=eligibility, remedy=remedy, response=response, body=body)


class FineTuningClosedError(NotEligibleError):
    """The last date of the policy has passed: nobody can create fine-tuning jobs any more."""


class InferenceWindowExpiredError(NotEligibleError):
    """No inference within the policy's window is known.

    With the verdict ``ineligible``, the organization's usage, just read, showed none. With ``unknown``,
    another program may have run one since the last inference in this history.
    """


class NoInferenceRecordedError(NotEligibleError):
    """No inference of the organization is known, even after the requests that the guard may make."""


class NeverFineTunedError(NotEligibleError):
    """No trace of earlier fine-tuning was found, which the policy requires since May 7, 2026."""


class FineTuningRefusedError(NotEligibleError):
    """The API itself refused the job with 403 ``training_not_available``.

    While it is ``remembered``, it is raised without a new request, and ``body`` is the recorded one.
    """

    @property
    def remembered(self) -> bool:
        """Whether the refusal was given to an earlier call, and this one was not sent."""
        return not self.sent


class ModelLifetimeError(FineTuneGuardError):
    """A model is gone, or would be too soon.

    Attributes:
        model: The model that the call named.
        shutdown: When it ends; for a job from a base that is still alive, when that base's fine-tunes end.
    """

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
    """A provider answered that it no longer serves a deployment or model, or is still starting it again.

    It has the attributes of the SDK's error for the response, and each subclass is also of that class.

    Attributes:
        model: The deployment or model that the call named, if known.
        last_call: The last call of it that this history knows, if any.
        is_verified: Whether this answer is documented or widely reported; if not, it can mean something else.
    """

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
    """No model answered the keep-alive inference; ``attempts`` gives the reason for each model."""

    def __init__(self, message: str, *, attempts: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.attempts = dict(attempts or {})


class UsageSyncError(FineTuneGuardError):
    """The organization's usage could not be read completely; the API's error, if any, is chained."""


class UnreadableUsageError(UsageSyncError):
    """The API's answer is not a page of usage as it is documented."""


class ExportError(FineTuneGuardError):
    """An export could not be started or continued, or can't be read; the cause is chained."""


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
    """The history can't be read or written; calls go through without it."""


class ShortLivedModelWarning(FineTuneGuardWarning):
    """A fine-tune of this base will live less than ``GuardConfig.warn_below_lifetime``."""


class IdleDeploymentWarning(FineTuneGuardWarning):
    """A deployment was called again shortly before it would have ended for lack of calls."""


class ModelSunsetWarning(FineTuneGuardWarning):
    """A fine-tuned model in use ends within 30 days."""
