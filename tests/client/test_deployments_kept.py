"""Keep-alives of deployments that would be deleted when idle."""

from __future__ import annotations

import threading
from datetime import timedelta

import openai
import pytest

import finetune_guard
from finetune_guard import GuardConfigError, KeepAlive, KeepAliveError, NotSent, Source
from tests.client.background import settled, until
from tests.client.flavours import done
from tests.support.azure import AZURE, DAY, KEY, TUNED, chat, known

pytestmark = pytest.mark.anyio

KEPT = KeepAlive(deployments=["support"])


@pytest.fixture
def calls(azure, sim):
    """Counts what the simulated Azure has answered."""
    return lambda: sum(call.method == "POST" for call in sim.calls)


async def kept(client, *arguments, **options):
    """What came of the keep-alive of each deployment: whether it was sent, or why not."""
    outcomes = await done(client.guard.keep_deployments(*arguments, **options))
    return {outcome.model: outcome.sent or outcome.reason for outcome in outcomes}


async def test_unnamed_deployment_gets_no_keep_alive(connect_azure, clock, calls):
    for fields in ({}, {"keep_alive": KeepAlive()}, {"deployments": ["support"]}):
        client = connect_azure("v1", **fields)
        await chat(client)
        clock.advance(14 * DAY)
        before = calls()
        assert {} == await kept(client)
        assert "not_guarded" == (await done(client.guard.keep_alive(force=True))).reason
        assert before == calls()


@pytest.mark.parametrize("api", ["key", "deployment", "v1"])
async def test_deployment_gets_one_keep_alive_near_its_end(connect_azure, clock, calls, api):
    events = []
    client = connect_azure(api, keep_alive=KEPT, on_event=events.append)
    await chat(client)
    clock.advance(11 * DAY)
    assert {"support": NotSent.NOT_DUE} == await kept(client)
    clock.advance(DAY)
    assert {"support": True} == await kept(client)
    assert {"support": NotSent.NOT_DUE} == await kept(client)
    assert 2 == calls()
    support = (await known(client))["support"]
    assert (clock(), Source.KEEP_ALIVE, TUNED) == (support.last_call, support.source, support.served)
    await until(lambda: events)
    assert [("support", support.resource)] == [(event.model, event.organization) for event in events]


async def test_client_can_keep_another_deployment_alive(connect_azure, azure, calls):
    client = connect_azure("deployment", keep_alive=KeepAlive(deployments=["quiet"]))
    assert {"quiet": True} == await kept(client)
    assert {"support": True} == await kept(client, "support", force=True)
    assert {"quiet", "support"} == {
        deployment.name for deployment in azure.deployments("east") if deployment.last_call
    }


async def test_deployment_of_another_resource_is_left_alone(connect_azure, azure):
    names = ["west.openai.azure.com/support", f"{azure.endpoint('east').partition('//')[2]}/quiet"]
    client = connect_azure("v1", keep_alive=KeepAlive(deployments=names))
    assert {"quiet": True} == await kept(client)
    assert {"quiet": True} == await kept(client, names[1], force=True)
    with pytest.raises(GuardConfigError, match="is not a deployment of"):
        await kept(client, names[0], force=True)


async def test_keep_alive_is_a_call_that_the_rule_counts(connect_azure, sim):
    policy = AZURE.model_copy(update={"resets": ("responses",)})
    client = connect_azure("v1", keep_alive=KEPT, policies=(policy,))
    assert {"support": True} == await kept(client)
    assert ["/east/openai/v1/responses"] == [call.path for call in sim.calls]


async def test_deleted_deployment_is_not_tried_again(connect_azure, azure, clock, calls):
    events, keep_alive = [], KeepAlive(deployments=["support", "never-was"])
    client = connect_azure("v1", keep_alive=keep_alive, on_event=events.append)
    await chat(client)
    clock.advance(16 * DAY)
    for name in ("support", "never-was"):
        with pytest.raises(KeepAliveError):
            await kept(client, name)
    before = calls()
    assert {"support": NotSent.DEPLOYMENT_GONE, "never-was": NotSent.DEPLOYMENT_GONE} == await kept(client)
    assert before == calls()
    await until(lambda: len(events) == 2)
    assert [{"support"}, {"never-was"}] == [set(event.attempts) for event in events]
    azure.deploy("east", "support", model=TUNED)
    clock.advance(DAY)
    await chat(client)
    assert NotSent.NOT_DUE is (await kept(client))["support"]
    await done(client.guard.forget_deployment("support"))
    clock.advance(13 * DAY)
    assert NotSent.FORGOTTEN is (await kept(client))["support"]


async def test_deployment_keep_alives_send_nothing_for_jobs(connect, infer, clock, posts):
    client = connect(config={"keep_alive": KEPT.model_copy(update={"background": True})})
    await infer(client)
    assert {} == client._finetune_guard.background._clients
    clock.advance(timedelta(days=50))
    with pytest.raises(openai.BadRequestError):
        await done(client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-none"))
    assert 1 == posts("/chat/completions")
    with pytest.raises(GuardConfigError, match="no such rule is known for this client's host"):
        await kept(client)


async def test_background_keeps_a_deployment_alive_and_logs_the_cost(connect_azure, clock, calls, caplog):
    caplog.set_level("INFO", "finetune_guard")
    keep_alive = KeepAlive(deployments=["support"], background=True)
    first = connect_azure("v1")
    await chat(first)
    await done(first.guard.flush())
    clock.advance(12 * DAY)
    client = connect_azure("v1", keep_alive=keep_alive)
    await chat(client, "plain")
    await until(lambda: calls() == 3)
    await settled(client)
    assert clock() == (await known(client))["support"].last_call
    [message] = [record.getMessage() for record in caplog.records if "Sent: support" in record.getMessage()]
    assert "Azure bills a fine-tuned deployment by the hour" in message


def test_fleet_sends_one_deployment_keep_alive(azure, azure_config, calls):
    base_url, sent = f"{azure.endpoint('east')}/openai/v1/", []

    def keep():
        with finetune_guard.OpenAI(
            base_url=base_url, api_key=KEY, guard=azure_config(keep_alive=KEPT)
        ) as client:
            sent.extend(client.guard.keep_deployments())

    threads = [threading.Thread(target=keep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [False] * 7 + [True] == sorted(outcome.sent for outcome in sent)
    assert 1 == calls()
