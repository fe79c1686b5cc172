"""The names that programs may rely on."""

from __future__ import annotations

import subprocess
import sys

import pytest

import finetune_guard

NAMES = [
    "Event",
    "HistoryUnavailable",
    "JobStopped",
    "KeepAliveFailed",
    "KeepAliveSent",
    "ModelEnding",
    "WindowClosing",
    "Span",
    "Refusal",
    "NotSent",
    "DeploymentGoneError",
    "DeploymentScalingUpError",
    "ModelAccessLostError",
    "ModelForm",
    "ProviderLossError",
    "Evidence",
    "Export",
    "ExportError",
    "ExportPlan",
    "ExportProgress",
    "Orphans",
    "OrphansDeleted",
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
    "Eligibility",
    "EligibilityWarning",
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
    "Deployment",
    "DeploymentState",
    "IdleDeploymentWarning",
    "IdlePolicy",
    "Inference",
    "InferenceWindowExpiredError",
    "Inventory",
    "KeepAlive",
    "KeepAliveError",
    "KeepAliveOutcome",
    "KeepAlivePlan",
    "ModelLifetimeError",
    "ModelLimits",
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
    "StatedEnd",
    "Store",
    "StoreError",
    "SyncProgress",
    "UsageSync",
    "UsageSyncError",
    "Verdict",
    "guard",
    "install",
    "uninstall",
]


def test_public_names_are_these():
    """No public name comes or goes unnoticed."""
    assert sorted(NAMES) == sorted(finetune_guard.__all__)


def test_every_public_name_is_there():
    """A star import works."""
    assert [] == [name for name in finetune_guard.__all__ if not hasattr(finetune_guard, name)]


USED = """
import finetune_guard
before = finetune_guard.guard
with finetune_guard.OpenAI(api_key="sk-test", guard=finetune_guard.GuardConfig(store="memory")) as client:
    client.guard.check()
assert before is finetune_guard.guard and callable(before), before
"""


@pytest.mark.slow
def test_no_module_takes_a_public_names_place():
    """What is imported as late as it is needed leaves the names that a program may use as they are."""
    subprocess.run([sys.executable, "-c", USED], check=True)


def test_another_name_is_an_attribute_error():
    """A name that isn't there is missed as in any other module."""
    with pytest.raises(AttributeError, match="'finetune_guard' has no attribute 'Nonsense'"):
        finetune_guard.Nonsense  # noqa: B018
