"""Keep-alives of deployments that would be deleted when idle."""

from __future__ import annotations

import threading
from datetime import timedelta

import openai
import pytest

import finetune_guard
from finetune_guard import GuardConfigError, KeepAlive, KeepAliveError, NotSent, Source
from tests.client.background import settled, until
from tests.client.both_ways import done
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
    return {each.model: each.sent or each.reason for each in outcomes}


async def test_nothing_is_sent_that_was_not_asked_for(connect_azure, clock, calls):
    """Without a name no deployment is kept alive, however near its end is."""
    for fields in ({}, {"keep_alive": KeepAlive()}, {"deployments": ["support"]}):
        client = connect_azure("v1", **fields)
        await chat(client)
        clock.advance(14 * DAY)
        before = calls()
        assert {} == await kept(client)
        assert "not_guarded" == (await done(client.guard.keep_alive(force=True))).reason
        assert before == calls()


@pytest.mark.parametrize("api", ["key", "deployment", "v1"])
async def test_one_is_sent_when_the_end_nears(connect_azure, clock, calls, api):
    """Three days before its end a deployment gets one call; the next is due for the next window."""
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
    assert [("support", support.resource)] == [(each.model, each.organization) for each in events]


async def test_another_deployment_than_the_clients_own(connect_azure, azure, calls):
    """A client whose base URL names one deployment can keep another one alive; so can a call by name."""
    client = connect_azure("deployment", keep_alive=KeepAlive(deployments=["quiet"]))
    assert {"quiet": True} == await kept(client)
    assert {"support": True} == await kept(client, "support", force=True)
    assert {"quiet", "support"} == {each.name for each in azure.deployments("east") if each.last_call}


async def test_one_of_another_resource_is_left_alone(connect_azure, azure):
    """A name with its resource means that one alone."""
    names = ["west.openai.azure.com/support", f"{azure.endpoint('east').partition('//')[2]}/quiet"]
    client = connect_azure("v1", keep_alive=KeepAlive(deployments=names))
    assert {"quiet": True} == await kept(client)
    assert {"quiet": True} == await kept(client, names[1], force=True)
    with pytest.raises(GuardConfigError, match="is not a deployment of"):
        await kept(client, names[0], force=True)


async def test_a_rule_that_counts_other_calls(connect_azure, sim):
    """Where only responses keep a deployment alive, a response is what is sent."""
    policy = AZURE.model_copy(update={"resets": ("responses",)})
    client = connect_azure("v1", keep_alive=KEPT, policies=(policy,))
    assert {"support": True} == await kept(client)
    assert ["/east/openai/v1/responses"] == [call.path for call in sim.calls]


async def test_a_deployment_that_is_gone_is_not_tried_for_ever(connect_azure, azure, clock, calls):
    """Its 404 is remembered, whether a call of it was known or not, until it is called again."""
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


async def test_jobs_are_a_matter_of_their_own(connect, infer, clock, posts):
    """Keeping deployments alive sends nothing for the sake of jobs, and no deployment is known at OpenAI."""
    client = connect(config={"keep_alive": KEPT.model_copy(update={"background": True})})
    await infer(client)
    assert {} == client._finetune_guard.background._clients
    clock.advance(timedelta(days=50))
    with pytest.raises(openai.BadRequestError):
        await done(client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-none"))
    assert 1 == posts("/chat/completions")
    with pytest.raises(GuardConfigError, match="no such rule is known for this client's host"):
        await kept(client)


async def test_a_program_that_runs_for_long(connect_azure, clock, calls, caplog):
    """With background the end is put off without being asked, once, and the log tells what that costs."""
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
    [said] = [each.getMessage() for each in caplog.records if "Sent: support" in each.getMessage()]
    assert "Azure bills a fine-tuned deployment by the hour" in said


def test_a_fleet_sends_one(azure, azure_config, calls):
    """However many clients want to keep a deployment alive at once, one call is sent for a window."""
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
    assert [False] * 7 + [True] == sorted(each.sent for each in sent)
    assert 1 == calls()
