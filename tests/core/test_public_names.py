"""The names that programs may rely on."""

from __future__ import annotations

import finetune_guard

NAMES = [
    "Span",
    "Refusal",
    "NotSent",
    "ModelForm",
    "Evidence",
    "OPENAI_SELF_SERVE",
    "AccessPolicy",
    "AsyncClient",
    "AsyncOpenAI",
    "BaseModelShutDownError",
    "Client",
    "Coverage",
    "DateSource",
    "Eligibility",
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
    "ModelLifetimeError",
    "ModelRecord",
    "ModelSunsetWarning",
    "NeverFineTunedError",
    "NoInferenceRecordedError",
    "NotEligibleError",
    "OpenAI",
    "Phase",
    "PolicyBoundaryWarning",
    "Precision",
    "Prospect",
    "Reason",
    "Requirement",
    "ShortLivedModelError",
    "ShortLivedModelWarning",
    "Shutdown",
    "Source",
    "Store",
    "StoreError",
    "SyncProgress",
    "UsageSync",
    "UsageSyncError",
    "Verdict",
    "guard",
]


def test_public_names_are_these():
    """No public name comes or goes unnoticed."""
    assert sorted(NAMES) == sorted(finetune_guard.__all__)


def test_public_names_are_sorted():
    """Constants, then classes, then functions, each in order, as Ruff sorts them."""
    constants = [name for name in finetune_guard.__all__ if name.isupper()]
    classes = [name for name in finetune_guard.__all__ if name[0].isupper() and not name.isupper()]
    functions = [name for name in finetune_guard.__all__ if name[0].islower()]

    assert finetune_guard.__all__ == [*sorted(constants), *sorted(classes), *sorted(functions)]


def test_every_public_name_is_there():
    """A star import works."""
    assert [] == [name for name in finetune_guard.__all__ if not hasattr(finetune_guard, name)]
