"""The names that programs may rely on."""

from __future__ import annotations

import subprocess
import sys

import pytest

import finetune_guard

NAMES = """
AccessPolicy AsyncAzureOpenAI AsyncClient AsyncOpenAI AzureListingError AzureOpenAI BaseModelShutDownError
Client Coverage DateSource Deployment DeploymentGoneError DeploymentScalingUpError DeploymentState
Eligibility EligibilityWarning Event Evidence Export ExportError ExportPlan ExportProgress
FineTuneGuardError FineTuneGuardWarning FineTunedModel FineTunedModelShutDownError FineTuningClosedError
FineTuningRefusedError GuardConfig GuardConfigError History HistoryUnavailable HistoryUnavailableWarning
IdleDeploymentWarning IdlePolicy Inference InferenceWindowExpiredError Inventory JobStopped KeepAlive
KeepAliveError KeepAliveFailed KeepAliveOutcome KeepAlivePlan KeepAliveSent ModelAccessLostError ModelEnding
ModelForm ModelLifetimeError ModelLimits ModelRecord ModelSunsetWarning NeverFineTunedError
NoInferenceRecordedError NotEligibleError NotSent OPENAI_SELF_SERVE OpenAI Orphans OrphansDeleted Phase
PolicyBoundaryWarning Precision Prospect ProviderLossError Reason Refusal Requirement ShortLivedModelError
ShortLivedModelWarning Shutdown Source Span StatedEnd Store StoreError SyncProgress UsageSync UsageSyncError
Verdict WindowClosing guard install uninstall
""".split()  # noqa: SIM905 -- a line for each would be ninety lines


def test_public_names():
    assert NAMES == sorted(finetune_guard.__all__)
    assert [] == [name for name in NAMES if not hasattr(finetune_guard, name)]


USED = """
import finetune_guard
before = finetune_guard.guard
with finetune_guard.OpenAI(api_key="sk-test", guard=finetune_guard.GuardConfig(store="memory")) as client:
    client.guard.check()
assert before is finetune_guard.guard and callable(before), before
"""


@pytest.mark.slow
def test_submodules_do_not_shadow_public_names():
    subprocess.run([sys.executable, "-c", USED], check=True)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'finetune_guard' has no attribute 'Nonsense'"):
        finetune_guard.Nonsense  # noqa: B018
