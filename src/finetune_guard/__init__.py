"""A drop-in wrapper around the OpenAI client that knows whether fine-tuning jobs may still be created.

    from finetune_guard import OpenAI  # instead of: from openai import OpenAI

Nothing else in the program changes. ``client.guard`` tells what is known and does what can be done.
"""

from typing import TYPE_CHECKING, Any

from finetune_guard.base_models import Prospect
from finetune_guard.eligibility import Eligibility, Reason, Verdict
from finetune_guard.errors import (
    BaseModelShutDownError,
    FineTunedModelShutDownError,
    FineTuneGuardError,
    FineTuneGuardWarning,
    FineTuningClosedError,
    FineTuningRefusedError,
    GuardConfigError,
    HistoryUnavailableWarning,
    InferenceWindowExpiredError,
    KeepAliveError,
    ModelLifetimeError,
    ModelSunsetWarning,
    NeverFineTunedError,
    NoInferenceRecordedError,
    NotEligibleError,
    PolicyBoundaryWarning,
    ShortLivedModelError,
    ShortLivedModelWarning,
    StoreError,
    UsageSyncError,
)
from finetune_guard.history import Coverage, Evidence, History, Inference, Refusal, Source, Span
from finetune_guard.inventory import Inventory, ModelRecord
from finetune_guard.keep_alive import KeepAlive, KeepAliveOutcome, NotSent
from finetune_guard.lifetimes import DateSource, Shutdown
from finetune_guard.models import FineTunedModel, ModelForm
from finetune_guard.policy import OPENAI_SELF_SERVE, AccessPolicy, Phase, Requirement
from finetune_guard.sdk.client import AsyncClient, AsyncOpenAI, Client, OpenAI
from finetune_guard.sdk.existing import guard
from finetune_guard.stores.store import Store
from finetune_guard.usage_pages import Precision
from finetune_guard.usage_sync import SyncProgress, UsageSync

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

__all__ = [
    "OPENAI_SELF_SERVE",
    "AccessPolicy",
    "AsyncClient",
    "AsyncOpenAI",
    "BaseModelShutDownError",
    "Client",
    "Coverage",
    "DateSource",
    "Eligibility",
    "Evidence",
    "FineTuneGuardError",
    "FineTuneGuardWarning",
    "FineTunedModel",
    "FineTunedModelShutDownError",
    "FineTuningClosedError",
    "FineTuningRefusedError",
    "GuardConfig",
    "GuardConfigError",
    "History",
    "HistoryUnavailableWarning",
    "Inference",
    "InferenceWindowExpiredError",
    "Inventory",
    "KeepAlive",
    "KeepAliveError",
    "KeepAliveOutcome",
    "ModelForm",
    "ModelLifetimeError",
    "ModelRecord",
    "ModelSunsetWarning",
    "NeverFineTunedError",
    "NoInferenceRecordedError",
    "NotEligibleError",
    "NotSent",
    "OpenAI",
    "Phase",
    "PolicyBoundaryWarning",
    "Precision",
    "Prospect",
    "Reason",
    "Refusal",
    "Requirement",
    "ShortLivedModelError",
    "ShortLivedModelWarning",
    "Shutdown",
    "Source",
    "Span",
    "Store",
    "StoreError",
    "SyncProgress",
    "UsageSync",
    "UsageSyncError",
    "Verdict",
    "guard",
]

if not TYPE_CHECKING:  # a checker would take every name for one of ours

    def __getattr__(name: str) -> Any:
        """Import what is costly when it is asked for: pydantic-settings takes longer than all the rest."""
        if name != "GuardConfig":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from finetune_guard.config import GuardConfig  # noqa: PLC0415 -- this is the point

        globals()[name] = GuardConfig
        return GuardConfig

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
