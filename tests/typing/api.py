"""Type annotations of the public names. Type checkers read this file; it never runs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.fine_tuning import FineTuningJob
from typing_extensions import assert_type

import finetune_guard
from finetune_guard import (
    OPENAI_SELF_SERVE,
    AccessPolicy,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    AzureOpenAI,
    Coverage,
    Deployment,
    Eligibility,
    Event,
    Export,
    ExportPlan,
    ExportProgress,
    FineTunedModel,
    FineTunedModelShutDownError,
    FineTuneGuardError,
    FineTuningRefusedError,
    GuardConfig,
    GuardConfigError,
    History,
    InferenceWindowExpiredError,
    Inventory,
    KeepAlive,
    KeepAliveError,
    KeepAliveOutcome,
    KeepAlivePlan,
    NotEligibleError,
    OpenAI,
    Orphans,
    OrphansDeleted,
    Prospect,
    ProviderLossError,
    Reason,
    Requirement,
    Store,
    SyncProgress,
    UsageSync,
    Verdict,
    guard,
)
from finetune_guard.testing import SimulatedClock, Simulator, simulator_clock

# A client is the SDK's, with what the SDK takes, and the guard.
client = OpenAI(
    api_key="sk-…",
    organization=None,
    base_url="http://127.0.0.1:8000/v1",
    timeout=5.0,
    max_retries=0,
    default_headers={"X-Team": "search"},
    guard=GuardConfig(),
)
sdk_client: openai.OpenAI = client
sdk_async_client: openai.AsyncOpenAI = AsyncOpenAI(guard=GuardConfig(), max_retries=1)
OpenAI()
OpenAI(guard=None)
assert_type(finetune_guard.Client(), OpenAI)
assert_type(finetune_guard.AsyncClient(), AsyncOpenAI)

# What it doesn't take is rejected, as with the SDK's own client.
OpenAI(api_keys="sk-…")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
OpenAI("sk-…")  # type: ignore[arg-type, call-arg, unused-ignore]  # pyright: ignore[reportCallIssue]
OpenAI(max_retries="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
OpenAI(guard={"store": "memory"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsyncOpenAI(keep_alive=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# Calls return what the SDK's return.
assert_type(client.chat.completions.create(model="ft:…", messages=[]), ChatCompletion)
assert_type(
    client.chat.completions.create(model="ft:…", messages=[], stream=True), openai.Stream[ChatCompletionChunk]
)
assert_type(
    client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-…"), FineTuningJob
)
with client as entered:
    assert_type(entered, OpenAI)
assert_type(client.with_options(timeout=1.0), OpenAI)
assert_type(client.copy(max_retries=2, guard=GuardConfig()), OpenAI)
client.with_options(guard=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
client.copy(max_tries=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# The guard of a client.
assert_type(client.guard.active, bool)
assert_type(client.guard.config, GuardConfig)
assert_type(client.guard.check(refresh=True), Eligibility)
assert_type(client.guard.keep_alive(force=True, model="ft:…"), KeepAliveOutcome)
client.guard.check(True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
assert_type(client.guard.plan_keep_alive(force=True, model="ft:…"), KeepAlivePlan)
assert_type(client.guard.has_admin_key, bool)
assert_type(client.guard.history(), History)
client.guard.record("ft:…", at=datetime.now(timezone.utc))
client.guard.record(at=datetime.now(timezone.utc))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
client.guard.flush(timeout=1.0)
progress_seen: list[SyncProgress] = []
assert_type(client.guard.sync(days=365, progress=progress_seen.append), UsageSync)
assert_type(client.guard.models(refresh=True), Inventory)
assert_type(client.guard.models().models[0].shutdown, "finetune_guard.Shutdown | None")
assert_type(client.guard.prospect("gpt-4o-mini-2024-07-18"), Prospect)
assert_type(client.guard.model_limits(), finetune_guard.ModelLimits)
export_progress: list[ExportProgress] = []
assert_type(
    client.guard.export(Path("out"), jobs=["ftjob-…"], model="ft:…", progress=export_progress.append), Export
)
assert_type(client.guard.plan_export(since=datetime.now(timezone.utc), files=False), ExportPlan)
assert_type(client.guard.orphans(), Orphans)
assert_type(client.guard.delete_orphans(["file-…"]), OrphansDeleted)


async def use_async_client() -> None:
    """The same with ``await``."""
    async_client = AsyncOpenAI()
    assert_type(await async_client.chat.completions.create(model="ft:…", messages=[]), ChatCompletion)
    assert_type(async_client.guard.active, bool)
    # Each method is declared once for both clients: a flow, and one that may block, stand for all.
    assert_type(await async_client.guard.check(refresh=True), Eligibility)
    assert_type(await async_client.guard.history(), History)
    await async_client.guard.record("ft:…")
    await async_client.guard.check(fresh=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(async_client.with_options(timeout=1.0, guard=GuardConfig()), AsyncOpenAI)


# A guarded client that existed already has the type of ours, and with it the guard.
assert_type(guard(openai.OpenAI()).guard.check(), Eligibility)
assert_type(guard(openai.AsyncOpenAI()), AsyncOpenAI)
assert_type(guard(openai.AzureOpenAI()), AzureOpenAI)
assert_type(guard(openai.AsyncAzureOpenAI(), GuardConfig(store="memory")), AsyncAzureOpenAI)
guard("sk-…")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]

# Azure's clients are the SDK's and ours, as Azure's are OpenAI's in the SDK.
azure = AzureOpenAI(
    api_version="2024-10-21", azure_endpoint="https://acme.openai.azure.com", guard=GuardConfig()
)
azure_of_the_sdk: openai.AzureOpenAI = azure
azure_of_ours: OpenAI = azure
async_azure_of_ours: AsyncOpenAI = AsyncAzureOpenAI()
assert_type(azure.guard.deployments(everywhere=True), tuple[Deployment, ...])
assert_type(azure.guard.keep_deployments("support", force=True), tuple[KeepAliveOutcome, ...])
assert_type(azure.guard.forget_deployment("support"), tuple[Deployment, ...])
assert_type(azure.with_options(api_version="2024-10-21", guard=GuardConfig()), AzureOpenAI)

# Configuration.
GuardConfig(
    store=Path("history"),
    policy=OPENAI_SELF_SERVE,
    hosts=["gateway.example.com"],
    on_unknown="allow",
    keep_alive=KeepAlive(renew_within=timedelta(days=14), model="ft:…", deadline=timedelta(seconds=30)),
    admin_api_key="sk-admin-…",
    warn_below_lifetime=timedelta(days=30),
    min_model_lifetime=None,
    check_uploads=False,
    enabled=True,
    clock=simulator_clock,
)
GuardConfig(clock=SimulatedClock())
GuardConfig(
    policies=Path("rules.toml"),
    deployments=["support"],
    keep_alive=KeepAlive(deployments=["support"], jobs=True),
)
events: list[Event] = []
GuardConfig(on_event=events.append)
GuardConfig(on_event="print")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
GuardConfig(on_unknown="ask")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
GuardConfig(stores="memory")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
KeepAlive().model = "ft:…"  # type: ignore[misc]
assert_type(GuardConfig().policy, AccessPolicy)
assert_type(GuardConfig().keep_alive, "KeepAlive | None")
assert_type(GuardConfig().open_store(), Store)

# A decision.
eligibility = client.guard.check()
assert_type(eligibility.verdict, Verdict)
assert_type(eligibility.reason, Reason)
assert_type(eligibility.phase.requirement, Requirement)
assert_type(eligibility.last_inference, "finetune_guard.Inference | None")
assert_type(eligibility.window_closes_at, "datetime | None")
assert_type(eligibility.remaining, "timedelta | None")
assert_type(eligibility.coverage, Coverage)
assert_type(FineTunedModel.parse("ft:…"), "FineTunedModel | None")

# Errors are the SDK's errors too.
try:
    client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-…")
except InferenceWindowExpiredError as expired:
    assert_type(expired.eligibility, "Eligibility | None")
    not_eligible: NotEligibleError = expired
    of_the_sdk: openai.OpenAIError = expired
except FineTuningRefusedError as refused:
    denied: openai.PermissionDeniedError = refused
    assert_type(refused.remembered, bool)
    assert_type(refused.remedy, "str | None")
except KeepAliveError as failed:
    ours: FineTuneGuardError = failed
    for model, why in failed.attempts.items():
        assert_type(model, str)
        assert_type(why, str)
except FineTunedModelShutDownError as gone:
    not_found: openai.NotFoundError = gone
    assert_type(gone.shutdown, "finetune_guard.Shutdown | None")
except ProviderLossError as lost:
    of_the_api: openai.APIStatusError = lost
    assert_type(lost.last_call, "datetime | None")
except GuardConfigError as wrong:
    also: ValueError = wrong

with Simulator(clock=SimulatedClock()) as simulator:
    assert_type(simulator.base_url, str)
    assert_type(simulator.clock.advance(timedelta(days=61)), datetime)
