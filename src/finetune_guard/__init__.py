"""A drop-in wrapper around the OpenAI client that knows whether fine-tuning jobs may still be created.

    from finetune_guard import OpenAI  # instead of: from openai import OpenAI

Nothing else in the program changes. ``client.guard`` has the guard's own methods.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_guard.client.classes import AsyncAzureOpenAI as AsyncAzureOpenAI
    from finetune_guard.client.classes import AsyncClient as AsyncClient
    from finetune_guard.client.classes import AsyncOpenAI as AsyncOpenAI
    from finetune_guard.client.classes import AzureOpenAI as AzureOpenAI
    from finetune_guard.client.classes import Client as Client
    from finetune_guard.client.classes import OpenAI as OpenAI
    from finetune_guard.client.install import install as install
    from finetune_guard.client.install import uninstall as uninstall
    from finetune_guard.client.wrap import guard as guard
    from finetune_guard.config import GuardConfig as GuardConfig
    from finetune_guard.domain.errors import AzureListingError as AzureListingError
    from finetune_guard.domain.errors import BaseModelShutDownError as BaseModelShutDownError
    from finetune_guard.domain.errors import DeploymentGoneError as DeploymentGoneError
    from finetune_guard.domain.errors import DeploymentScalingUpError as DeploymentScalingUpError
    from finetune_guard.domain.errors import EligibilityWarning as EligibilityWarning
    from finetune_guard.domain.errors import ExportError as ExportError
    from finetune_guard.domain.errors import FineTunedModelShutDownError as FineTunedModelShutDownError
    from finetune_guard.domain.errors import FineTuneGuardError as FineTuneGuardError
    from finetune_guard.domain.errors import FineTuneGuardWarning as FineTuneGuardWarning
    from finetune_guard.domain.errors import FineTuningClosedError as FineTuningClosedError
    from finetune_guard.domain.errors import FineTuningRefusedError as FineTuningRefusedError
    from finetune_guard.domain.errors import GuardConfigError as GuardConfigError
    from finetune_guard.domain.errors import HistoryUnavailableWarning as HistoryUnavailableWarning
    from finetune_guard.domain.errors import IdleDeploymentWarning as IdleDeploymentWarning
    from finetune_guard.domain.errors import InferenceWindowExpiredError as InferenceWindowExpiredError
    from finetune_guard.domain.errors import KeepAliveError as KeepAliveError
    from finetune_guard.domain.errors import ModelAccessLostError as ModelAccessLostError
    from finetune_guard.domain.errors import ModelLifetimeError as ModelLifetimeError
    from finetune_guard.domain.errors import ModelSunsetWarning as ModelSunsetWarning
    from finetune_guard.domain.errors import NeverFineTunedError as NeverFineTunedError
    from finetune_guard.domain.errors import NoInferenceRecordedError as NoInferenceRecordedError
    from finetune_guard.domain.errors import NotEligibleError as NotEligibleError
    from finetune_guard.domain.errors import PolicyBoundaryWarning as PolicyBoundaryWarning
    from finetune_guard.domain.errors import ProviderLossError as ProviderLossError
    from finetune_guard.domain.errors import ShortLivedModelError as ShortLivedModelError
    from finetune_guard.domain.errors import ShortLivedModelWarning as ShortLivedModelWarning
    from finetune_guard.domain.errors import StoreError as StoreError
    from finetune_guard.domain.errors import UsageSyncError as UsageSyncError
    from finetune_guard.domain.events import Event as Event
    from finetune_guard.domain.events import HistoryUnavailable as HistoryUnavailable
    from finetune_guard.domain.events import JobStopped as JobStopped
    from finetune_guard.domain.events import KeepAliveFailed as KeepAliveFailed
    from finetune_guard.domain.events import KeepAliveSent as KeepAliveSent
    from finetune_guard.domain.events import ModelEnding as ModelEnding
    from finetune_guard.domain.events import WindowClosing as WindowClosing
    from finetune_guard.domain.facts import Coverage as Coverage
    from finetune_guard.domain.facts import Inference as Inference
    from finetune_guard.domain.facts import ModelLimits as ModelLimits
    from finetune_guard.domain.facts import Refusal as Refusal
    from finetune_guard.domain.facts import Source as Source
    from finetune_guard.domain.facts import Span as Span
    from finetune_guard.domain.history import Evidence as Evidence
    from finetune_guard.domain.history import History as History
    from finetune_guard.domain.idle_policy import IdlePolicy as IdlePolicy
    from finetune_guard.domain.model_ids import FineTunedModel as FineTunedModel
    from finetune_guard.domain.model_ids import ModelForm as ModelForm
    from finetune_guard.domain.policy import OPENAI_SELF_SERVE as OPENAI_SELF_SERVE
    from finetune_guard.domain.policy import AccessPolicy as AccessPolicy
    from finetune_guard.domain.policy import Phase as Phase
    from finetune_guard.domain.policy import Requirement as Requirement
    from finetune_guard.domain.shutdowns import DateSource as DateSource
    from finetune_guard.domain.shutdowns import Shutdown as Shutdown
    from finetune_guard.domain.shutdowns import StatedEnd as StatedEnd
    from finetune_guard.domain.verdict import Eligibility as Eligibility
    from finetune_guard.domain.verdict import Reason as Reason
    from finetune_guard.domain.verdict import Verdict as Verdict
    from finetune_guard.engine.usage_sync import SyncProgress as SyncProgress
    from finetune_guard.engine.usage_sync import UsageSync as UsageSync
    from finetune_guard.openai_api.usage_pages import Precision as Precision
    from finetune_guard.rules.deployments import Deployment as Deployment
    from finetune_guard.rules.deployments import DeploymentState as DeploymentState
    from finetune_guard.rules.export import Export as Export
    from finetune_guard.rules.export import ExportPlan as ExportPlan
    from finetune_guard.rules.export import ExportProgress as ExportProgress
    from finetune_guard.rules.export import Orphans as Orphans
    from finetune_guard.rules.export import OrphansDeleted as OrphansDeleted
    from finetune_guard.rules.inventory import Inventory as Inventory
    from finetune_guard.rules.inventory import ModelRecord as ModelRecord
    from finetune_guard.rules.inventory import Prospect as Prospect
    from finetune_guard.rules.keep_alive import KeepAlive as KeepAlive
    from finetune_guard.rules.keep_alive import KeepAliveOutcome as KeepAliveOutcome
    from finetune_guard.rules.keep_alive import KeepAlivePlan as KeepAlivePlan
    from finetune_guard.rules.keep_alive import NotSent as NotSent
    from finetune_guard.stores.base import Store as Store

# Imported on first use, so that importing the package is cheap and doesn't import the SDK.
_MODULES = {
    name: module
    for module, names in {
        "client.classes": "AsyncAzureOpenAI AsyncClient AsyncOpenAI AzureOpenAI Client OpenAI",
        "client.install": "install uninstall",
        "client.wrap": "guard",
        "config": "GuardConfig",
        "domain.errors": """
            AzureListingError BaseModelShutDownError DeploymentGoneError DeploymentScalingUpError
            EligibilityWarning ExportError FineTuneGuardError FineTuneGuardWarning FineTunedModelShutDownError
            FineTuningClosedError FineTuningRefusedError GuardConfigError HistoryUnavailableWarning
            IdleDeploymentWarning InferenceWindowExpiredError KeepAliveError ModelAccessLostError
            ModelLifetimeError ModelSunsetWarning NeverFineTunedError NoInferenceRecordedError
            NotEligibleError PolicyBoundaryWarning ProviderLossError ShortLivedModelError
            ShortLivedModelWarning StoreError UsageSyncError
        """,
        "domain.events": """
            Event HistoryUnavailable JobStopped KeepAliveFailed KeepAliveSent ModelEnding WindowClosing
        """,
        "domain.facts": "Coverage Inference ModelLimits Refusal Source Span",
        "domain.history": "Evidence History",
        "domain.idle_policy": "IdlePolicy",
        "domain.model_ids": "FineTunedModel ModelForm",
        "domain.policy": "AccessPolicy OPENAI_SELF_SERVE Phase Requirement",
        "domain.shutdowns": "DateSource Shutdown StatedEnd",
        "domain.verdict": "Eligibility Reason Verdict",
        "engine.usage_sync": "SyncProgress UsageSync",
        "openai_api.usage_pages": "Precision",
        "rules.deployments": "Deployment DeploymentState",
        "rules.export": "Export ExportPlan ExportProgress Orphans OrphansDeleted",
        "rules.inventory": "Inventory ModelRecord Prospect",
        "rules.keep_alive": "KeepAlive KeepAliveOutcome KeepAlivePlan NotSent",
        "stores.base": "Store",
    }.items()
    for name in names.split()
}

if not TYPE_CHECKING:  # type checkers use the imports above; with __getattr__ they would accept any name
    __all__ = sorted(_MODULES)  # noqa: PLE0605 -- it is a list

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
