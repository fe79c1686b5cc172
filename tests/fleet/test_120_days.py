"""Simulates 120 days of five deployments, and compares the guard with the simulated Azure every day."""

from __future__ import annotations

from datetime import timedelta

import pytest

import finetune_guard
from finetune_guard import DeploymentGoneError, DeploymentState, Source
from tests.client.flavours import ASYNC, SYNC, done
from tests.fleet.fleet_deployments import config, keep_alive_day_by_day
from tests.support.azure import BASE, DAY, KEY, TUNED, VERSION, chat
from tests.support.constants import START

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

DAYS, FLEET = 120, 8
WEST = "key-of-the-west"
MORNING = START + timedelta(hours=9)
STATE = DeploymentState


@pytest.fixture(params=[SYNC, ASYNC], ids=["sync", "async"])
def flavour(request):
    return request.param


@pytest.fixture
def azure(sim):
    sim.clock.set(MORNING)
    for resource, key in (("east", KEY), ("west", WEST)):
        sim.azure.add_resource(resource, api_key=key)
    for resource, name, shown_as in (
        ("east", "idle", None),
        ("east", "kept", None),
        ("west", "again", None),
        ("west", "quiet", BASE),
    ):
        sim.azure.deploy(resource, name, model=TUNED, **({"shown_as": shown_as} if shown_as else {}))
    sim.azure.deploy("west", "plain", model=BASE)
    return sim.azure


@pytest.fixture
def sent(begin, azure, location, flavour):
    """Tells how many keep-alives eight processes, which keep one deployment alive, send at a time."""
    arguments = keep_alive_day_by_day, azure.endpoint("east"), location, "kept", flavour.is_async
    fleet = [begin(*arguments) for _ in range(FLEET)]

    def sent_at(now):
        for process in fleet:
            process.tell(now)
        return sum(sum(process.receive()) for process in fleet)

    return sent_at


def agree(known, azure, now):
    """What the guard is sure of is so: what is alive stands, what is gone does not, and ends are right."""
    for name, deployment in known.items():
        standing = {it.name: it for it in azure.deployments(deployment.resource.rpartition("/")[2])}.get(name)
        if deployment.state is STATE.ALIVE:
            assert standing is not None, (now, deployment)
        if deployment.state is STATE.GONE:  # or it was deployed again, and nobody has called it since
            assert standing is None or standing.last_call is None, (now, deployment)
        if standing is not None and deployment.ends is not None and standing.last_call is not None:
            assert standing.last_call == deployment.last_call, (now, deployment)
            assert deployment.ends[0] <= standing.last_call + 15 * DAY < deployment.ends[1]


async def test_deployment_states_match_azure_for_120_days(sim, azure, sent, location, flavour):
    clock = sim.clock
    east = finetune_guard.guard(
        flavour.azure(azure_endpoint=azure.endpoint("east"), api_key=KEY, api_version=VERSION, max_retries=0),
        config(location, clock),
    )
    west = flavour.guarded(
        base_url=f"{azure.endpoint('west')}/openai/v1/",
        api_key=WEST,
        max_retries=0,
        guard=config(location, clock, deployments=["quiet"]),
    )
    auditor = flavour.guarded(api_key="sk-none", guard=config(location, clock, deployments=["quiet"]))
    sent_so_far, gone_at = 0, []
    for day in range(DAYS + 1):
        clock.set(MORNING + day * DAY)
        if day == 0:
            for client, name in ((east, "idle"), (east, "kept"), (west, "again")):
                await chat(client, name)
        if day % 10 == 0:
            await chat(west, "quiet")
        await chat(west, "plain")
        if day == 20:
            with pytest.raises(DeploymentGoneError) as caught:
                await chat(west, "again")
            assert MORNING == caught.value.last_call
            gone_at.append(clock())
        if day == 30:
            azure.deploy("west", "again", model=TUNED)
        if 31 <= day <= 50:
            await chat(west, "again")
        for client in (east, west):
            await done(client.guard.flush())
        sent_so_far += sent(clock())
        known = {
            deployment.name: deployment
            for deployment in await done(auditor.guard.deployments(everywhere=True))
        }
        assert {"idle", "kept", "again", "quiet"} == set(known)
        agree(known, azure, clock())
        assert STATE.ALIVE is known["kept"].state
        assert STATE.ALIVE is known["quiet"].state
        assert (BASE, TUNED) == (known["quiet"].served, known["kept"].served)
        assert (STATE.ALIVE if day <= 14 else STATE.MAY_BE_GONE) is known["idle"].state
        assert {
            day <= 14: STATE.ALIVE,
            15 <= day < 20: STATE.MAY_BE_GONE,
            20 <= day <= 30: STATE.GONE,
            31 <= day <= 64: STATE.ALIVE,
            day >= 65: STATE.MAY_BE_GONE,
        }[True] is known["again"].state
        assert day // 12 == sent_so_far
    assert Source.KEEP_ALIVE is known["kept"].source
    assert 2 + DAYS // 12 == sum(call.path.startswith("/east/") for call in sim.calls)
    for client in (east, west, auditor):
        await done(client.close())
