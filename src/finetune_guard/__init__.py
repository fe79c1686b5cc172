"""A drop-in wrapper around the OpenAI client that knows whether fine-tuning jobs may still be created.

    from finetune_guard import OpenAI  # instead of: from openai import OpenAI

Nothing else in the program changes. ``client.guard`` tells what is known and does what can be done.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_guard.client.classes import (
        AsyncAzureOpenAI,
        AsyncClient,
        AsyncOpenAI,
        AzureOpenAI,
        Client,
        OpenAI,
    )
    from finetune_guard.client.install import install, uninstall
    from finetune_guard.client.wrap import guard
    from finetune_guard.config import GuardConfig
    from finetune_guard.domain.errors import (
        AzureListingError,
        BaseModelShutDownError,
        DeploymentGoneError,
        DeploymentScalingUpError,
        EligibilityWarning,
        ExportError,
        FineTunedModelShutDownError,
        FineTuneGuardError,
        FineTuneGuardWarning,
        FineTuningClosedError,
        FineTuningRefusedError,
        GuardConfigError,
        HistoryUnavailableWarning,
        IdleDeploymentWarning,
        InferenceWindowExpiredError,
        KeepAliveError,
        ModelAccessLostError,
        ModelLifetimeError,
        ModelSunsetWarning,
        NeverFineTunedError,
        NoInferenceRecordedError,
        NotEligibleError,
        PolicyBoundaryWarning,
        ProviderLossError,
        ShortLivedModelError,
        ShortLivedModelWarning,
        StoreError,
        UsageSyncError,
    )
    from finetune_guard.domain.events import (
        Event,
        HistoryUnavailable,
        JobStopped,
        KeepAliveFailed,
        KeepAliveSent,
        ModelEnding,
        WindowClosing,
    )
    from finetune_guard.domain.facts import Coverage, Inference, ModelLimits, Refusal, Source, Span
    from finetune_guard.domain.history import Evidence, History
    from finetune_guard.domain.idle_policy import IdlePolicy
    from finetune_guard.domain.model_ids import FineTunedModel, ModelForm
    from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
    from finetune_guard.domain.shutdowns import DateSource, Shutdown, StatedEnd
    from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
    from finetune_guard.engine.usage_sync import SyncProgress, UsageSync
    from finetune_guard.openai_api.usage_pages import Precision
    from finetune_guard.rules.deployments import Deployment, DeploymentState
    from finetune_guard.rules.export import Export, ExportPlan, ExportProgress, Orphans, OrphansDeleted
    from finetune_guard.rules.inventory import Inventory, ModelRecord, Prospect
    from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, KeepAlivePlan, NotSent
    from finetune_guard.stores.base import Store

__all__ = [
    "OPENAI_SELF_SERVE",
    "AccessPolicy",
    "AsyncAzureOpenAI",
    "AsyncClient",
    "AsyncOpenAI",
    "AzureListingError",
    "AzureOpenAI",
    "BaseModelShutDownError",
    "Client",
    "Coverage",
    "DateSource",
    "Deployment",
    "DeploymentGoneError",
    "DeploymentScalingUpError",
    "DeploymentState",
    "Eligibility",
    "EligibilityWarning",
    "Event",
    "Evidence",
    "Export",
    "ExportError",
    "ExportPlan",
    "ExportProgress",
    "FineTuneGuardError",
    "FineTuneGuardWarning",
    "FineTunedModel",
    "FineTunedModelShutDownError",
    "FineTuningClosedError",
    "FineTuningRefusedError",
    "GuardConfig",
    "GuardConfigError",
    "History",
    "HistoryUnavailable",
    "HistoryUnavailableWarning",
    "IdleDeploymentWarning",
    "IdlePolicy",
    "Inference",
    "InferenceWindowExpiredError",
    "Inventory",
    "JobStopped",
    "KeepAlive",
    "KeepAliveError",
    "KeepAliveFailed",
    "KeepAliveOutcome",
    "KeepAlivePlan",
    "KeepAliveSent",
    "ModelAccessLostError",
    "ModelEnding",
    "ModelForm",
    "ModelLifetimeError",
    "ModelLimits",
    "ModelRecord",
    "ModelSunsetWarning",
    "NeverFineTunedError",
    "NoInferenceRecordedError",
    "NotEligibleError",
    "NotSent",
    "OpenAI",
    "Orphans",
    "OrphansDeleted",
    "Phase",
    "PolicyBoundaryWarning",
    "Precision",
    "Prospect",
    "ProviderLossError",
    "Reason",
    "Refusal",
    "Requirement",
    "ShortLivedModelError",
    "ShortLivedModelWarning",
    "Shutdown",
    "Source",
    "Span",
    "StatedEnd",
    "Store",
    "StoreError",
    "SyncProgress",
    "UsageSync",
    "UsageSyncError",
    "Verdict",
    "WindowClosing",
    "guard",
    "install",
    "uninstall",
]

# Found when they are asked for, so that the import costs nothing, not even the SDK's.
_HOMES = {
    "client.classes": ("AsyncAzureOpenAI", "AsyncClient", "AsyncOpenAI", "AzureOpenAI", "Client", "OpenAI"),
    "client.install": ("install", "uninstall"),
    "client.wrap": ("guard",),
    "config": ("GuardConfig",),
    "domain.errors": (
        "AzureListingError",
        "BaseModelShutDownError",
        "DeploymentGoneError",
        "DeploymentScalingUpError",
        "EligibilityWarning",
        "ExportError",
        "FineTunedModelShutDownError",
        "FineTuneGuardError",
        "FineTuneGuardWarning",
        "FineTuningClosedError",
        "FineTuningRefusedError",
        "GuardConfigError",
        "HistoryUnavailableWarning",
        "IdleDeploymentWarning",
        "InferenceWindowExpiredError",
        "KeepAliveError",
        "ModelAccessLostError",
        "ModelLifetimeError",
        "ModelSunsetWarning",
        "NeverFineTunedError",
        "NoInferenceRecordedError",
        "NotEligibleError",
        "PolicyBoundaryWarning",
        "ProviderLossError",
        "ShortLivedModelError",
        "ShortLivedModelWarning",
        "StoreError",
        "UsageSyncError",
    ),
    "domain.events": (
        "Event",
        "HistoryUnavailable",
        "JobStopped",
        "KeepAliveFailed",
        "KeepAliveSent",
        "ModelEnding",
        "WindowClosing",
    ),
    "domain.facts": ("Coverage", "Inference", "ModelLimits", "Refusal", "Source", "Span"),
    "domain.history": ("Evidence", "History"),
    "domain.idle_policy": ("IdlePolicy",),
    "domain.model_ids": ("FineTunedModel", "ModelForm"),
    "domain.policy": ("OPENAI_SELF_SERVE", "AccessPolicy", "Phase", "Requirement"),
    "domain.shutdowns": ("DateSource", "Shutdown", "StatedEnd"),
    "domain.verdict": ("Eligibility", "Reason", "Verdict"),
    "engine.usage_sync": ("SyncProgress", "UsageSync"),
    "openai_api.usage_pages": ("Precision",),
    "rules.deployments": ("Deployment", "DeploymentState"),
    "rules.export": ("Export", "ExportPlan", "ExportProgress", "Orphans", "OrphansDeleted"),
    "rules.inventory": ("Inventory", "ModelRecord", "Prospect"),
    "rules.keep_alive": ("KeepAlive", "KeepAliveOutcome", "KeepAlivePlan", "NotSent"),
    "stores.base": ("Store",),
}

if not TYPE_CHECKING:  # a checker would take every name for one of ours

    def __getattr__(name: str) -> Any:
        for module, names in _HOMES.items():
            if name in names:
                found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
