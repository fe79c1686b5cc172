"""Idle deployments: the ways to call Azure, and the guard's warnings and errors."""

from __future__ import annotations

import json
import threading
import warnings
from functools import partial

import openai
import pytest

from finetune_guard import DeploymentGoneError, GuardConfig, GuardConfigError, IdleDeploymentWarning, guard
from finetune_guard.rules.deployments import DeploymentState
from finetune_guard.stores.memory import MemoryStore
from tests.client.flavours import done, entered, listed
from tests.domain.test_idle_policy import OWN
from tests.support.azure import BASE, DAY, KEY, TOKEN, TUNED, VERSION, chat, known, respond
from tests.support.constants import COMPLETION, MESSAGES

pytestmark = pytest.mark.anyio

STATE = DeploymentState


async def stream(client, deployment="support"):
    return await listed(await chat(client, deployment, stream=True))


async def raw(client, deployment="support"):
    return await done(client.chat.completions.with_raw_response.create(model=deployment, messages=MESSAGES))


CALLS = [chat, stream, raw] + [respond] * hasattr(openai.OpenAI, "responses")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("api", ["key", "token", "provider", "deployment", "v1"])
async def test_last_call_and_model_of_a_deployment_are_recorded(connect_azure, store, clock, api, call):
    client = connect_azure(api)
    assert client.guard.active
    await call(client, "any" if api == "deployment" and call is not respond else "support")
    deployments = await known(client)
    assert ["support"] == list(deployments)
    support = deployments["support"]
    assert (clock(), TUNED, STATE.ALIVE) == (support.last_call, support.served, support.state)
    first, last = support.ends
    assert 14 * DAY < first - clock() <= 15 * DAY <= last - clock() < 17 * DAY
    assert "2027-10-14" == str(support.retirement.deployments.day)
    await done(client.guard.flush())
    stored = json.dumps(
        [
            store.aliases(),
            *(history.model_dump_json() for history in map(store.history, store.organizations())),
        ]
    )
    assert "support" in stored
    assert KEY not in stored
    assert TOKEN not in stored


async def test_streamed_body_counts_without_being_read(connect_azure, clock):
    client = connect_azure("v1")
    await chat(client)
    clock.advance(DAY)
    manager = client.chat.completions.with_streaming_response.create(model="support", messages=MESSAGES)
    async with entered(manager) as response:
        assert not response.http_response.is_stream_consumed
        await done(response.read())
    support = (await known(client))["support"]
    assert (clock(), TUNED) == (support.last_call, support.served)


async def test_deployment_of_a_base_model_is_not_recorded(connect_azure, store):
    client = connect_azure("v1")
    for call in CALLS:
        await call(client, "plain")
    assert {} == await known(client)
    await done(client.guard.flush())
    assert () == store.organizations()


async def test_deployment_named_in_the_configuration_is_recorded(connect_azure, clock):
    client = connect_azure("v1", deployments=["quiet"])
    for call in CALLS:
        await call(client, "quiet")
    await chat(client, "plain")
    [quiet] = (await known(client)).values()
    assert ("quiet", STATE.ALIVE, BASE) == (quiet.name, quiet.state, quiet.served)
    unaware = connect_azure("v1")
    assert STATE.BASE_MODEL is (await known(unaware))["quiet"].state


async def test_openais_policy_stops_nothing_at_azure(connect_azure, azure):
    client = connect_azure("v1")
    checked = await done(client.guard.check())
    assert "not_guarded" == checked.reason
    assert "client.guard.deployments()" in checked.remedy
    with pytest.raises(openai.NotFoundError):
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-1"))


async def warnings_of(*calls):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for call in calls:
            await call()
    return [str(warning.message) for warning in caught if warning.category is IdleDeploymentWarning]


async def call_and_flush(client, deployment="support"):
    await chat(client, deployment)
    await done(client.guard.flush())


async def test_call_shortly_before_deletion_warns_once_a_day(connect_azure, clock):
    """It warns whichever process made the call before."""
    first, second = connect_azure("v1"), connect_azure()
    called, called_by_the_other = (partial(call_and_flush, each_client) for each_client in (second, first))
    await called_by_the_other()
    clock.advance(13 * DAY)
    [warning] = await warnings_of(called, called, called)
    assert "was not called for 13 days" in warning
    assert "billed by the hour" not in warning
    assert "bills a fine-tuned deployment by the hour" in warning
    clock.advance(9 * DAY)
    assert [] == await warnings_of(called)
    await chat(first)
    clock.advance(12 * DAY)
    assert 1 == len(await warnings_of(called, called))
    assert [] == await warnings_of(called_by_the_other, called_by_the_other)


async def test_deleted_deployment_raises_last_call_and_remedy(connect_azure, azure, clock, store):
    """A later call removes that."""
    client = connect_azure("v1")
    await chat(client)
    last_call = clock()
    clock.advance(16 * DAY)
    assert STATE.MAY_BE_GONE is (await known(client))["support"].state
    with pytest.raises(DeploymentGoneError, match="not verified") as caught:
        await chat(client)
    assert isinstance(caught.value, openai.NotFoundError)
    assert ("support", last_call) == (caught.value.model, caught.value.last_call)
    assert "eploy it again" in caught.value.remedy
    assert STATE.GONE is (await known(client))["support"].state
    for each_client in (client, connect_azure("v1")):
        await call_and_flush(each_client, "plain")
        with pytest.raises(DeploymentGoneError) as caught:
            await chat(each_client)
        assert last_call == caught.value.last_call
    with pytest.raises(openai.NotFoundError) as caught:
        await chat(client, "never-was")
    assert not isinstance(caught.value, DeploymentGoneError)
    clock.advance(DAY)
    azure.deploy("east", "support", model=TUNED)
    assert [] == await warnings_of(lambda: chat(client))
    support, last_call = (await known(client))["support"], clock()
    assert (STATE.ALIVE, last_call) == (support.state, support.last_call)
    clock.advance(16 * DAY)
    with pytest.raises(DeploymentGoneError) as caught:
        await chat(client)
    assert last_call == caught.value.last_call
    assert STATE.GONE is (await known(client))["support"].state


async def test_warning_and_error_before_the_store_was_read(connect_azure, clock):
    """A pause is warned about at the next call; a 404 is the SDK's own and is recorded."""

    class SlowStore(MemoryStore):
        may_tell = threading.Event()

        def history(self, organization):
            assert self.may_tell.wait(60)
            return super().history(organization)

    store = SlowStore()
    store.may_tell.set()
    await call_and_flush(connect_azure("v1", store=store))
    clock.advance(13 * DAY)
    store.may_tell.clear()
    fresh = connect_azure("v1", store=store)
    assert [] == await warnings_of(lambda: chat(fresh))
    store.may_tell.set()
    await done(fresh.guard.flush())
    assert 1 == len(await warnings_of(lambda: chat(fresh)))
    clock.advance(16 * DAY)
    store.may_tell.clear()
    fresh = connect_azure("v1", store=store)
    with pytest.raises(openai.NotFoundError) as caught:
        await chat(fresh)
    assert not isinstance(caught.value, DeploymentGoneError)
    store.may_tell.set()
    await done(fresh.guard.flush())
    assert STATE.GONE is (await known(fresh))["support"].state


async def test_forgotten_deployment_is_not_warned_about(connect_azure, clock):
    client = connect_azure("v1")
    await chat(client)
    clock.advance(DAY)
    [forgotten] = await done(client.guard.forget_deployment("support"))
    assert "support" == forgotten.name
    assert STATE.FORGOTTEN is (await known(client))["support"].state
    with pytest.raises(GuardConfigError, match="No deployment is known as 'nonsense'"):
        await done(client.guard.forget_deployment("nonsense"))
    clock.advance(DAY)
    await chat(client)
    assert STATE.ALIVE is (await known(client))["support"].state


async def test_azure_client_at_a_gateway_records_its_deployments(
    flavour, azure, azure_config, closing, store, clock
):
    bare = flavour.azure(azure_endpoint=azure.endpoint("east"), api_key=KEY, api_version=VERSION)
    client = closing(guard(closing(bare), azure_config(policies=())))
    await chat(client)
    assert ["support"] == list(await known(client))
    elsewhere = closing(flavour.guarded(api_key="sk-test", guard=azure_config(policies=())))
    await done(client.guard.flush())
    assert ["support"] == list(await known(elsewhere))


@pytest.mark.parametrize("broken", ["evidence", "history", "record", "merge", "organizations"])
async def test_broken_store_stops_no_deployment_call(flavour, azure, connect_azure, broken):
    class BrokenStore(MemoryStore):
        def __getattribute__(self, name):
            if name == broken:
                raise OSError("broken")
            return super().__getattribute__(name)

    client = connect_azure("v1", store=BrokenStore())
    for _ in range(2):
        assert TUNED == (await chat(client)).model


async def test_rule_file_alone_covers_another_provider(
    flavour, closing, store, clock, wire, monkeypatch, tmp_path
):
    (tmp_path / "own.toml").write_text(OWN)
    monkeypatch.setenv("FINETUNE_GUARD_POLICIES", str(tmp_path / "own.toml"))
    config = GuardConfig(store=store, clock=clock)
    base_url = "https://api.acme.example/v1"
    client = closing(flavour.guarded(base_url=base_url, api_key=KEY, max_retries=0, guard=config))
    chats = wire.post(f"{base_url}/chat/completions")
    chats.respond(200, json={**COMPLETION, "model": "acme-large"})
    wire.post(f"{base_url}/completions").respond(200, json={**COMPLETION, "model": "acme-large"})
    await chat(client, "triage")
    triage = (await known(client))["triage"]
    assert ("Acme endpoints", "acme-large") == (triage.policy.name, triage.served)
    assert "api.acme.example" == triage.resource
    assert triage.ends[0] <= clock() + 10 * DAY < triage.ends[1]
    clock.advance(8 * DAY)
    await done(client.completions.create(model="triage", prompt="hello"))  # which the rule does not count
    [warning] = await warnings_of(*[partial(call_and_flush, client, "triage")] * 2)
    assert "was not called for 8 days" in warning
    assert "Acme bills by the hour." in warning
    chats.respond(404, json={"error": {"message": "no such endpoint: not found"}})
    with pytest.raises(DeploymentGoneError, match="triage is not found any more"):
        await chat(client, "triage")
    assert STATE.GONE is (await known(client))["triage"].state


async def test_record_adds_a_deployment_call(connect_azure, clock):
    client = connect_azure()
    await done(client.guard.record("support", at=clock() - DAY))
    support = (await known(client))["support"]
    assert (clock() - DAY, STATE.ALIVE, None) == (support.last_call, support.state, support.served)
    with pytest.raises(GuardConfigError, match="a deployment's name is required"):
        await done(client.guard.record(""))
