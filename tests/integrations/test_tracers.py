"""Third-party tracers together with the guard, in either order, if installed."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from finetune_guard import guard, install
from tests.client.flavours import done
from tests.integrations.frameworks import use_sdk
from tests.integrations.tracers import TRACERS

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.usefixtures("sdk_as_it_was"),
    pytest.mark.filterwarnings("ignore"),  # what tracers warn of is theirs
    pytest.mark.filterwarnings("error::finetune_guard.FineTuneGuardWarning"),
]


@pytest.mark.parametrize("start", TRACERS.values(), ids=TRACERS)
def test_tracer_and_guard_see_every_call_once_in_any_order(bench, start):
    asyncio.run(_in_every_order(bench, start))


async def _in_every_order(bench, start):
    made_before = bench.client(), bench.async_client()
    with start() as tracer:
        expected = await _seen_of_own_clients(bench, tracer)
        assert all(expected)
        unguarded = bench.served
        theirs = [tracer.wrap(cls(max_retries=0)) for cls in (tracer.sync, tracer.asynchronous)]
        orders = {"tracer first": [guard(client, bench.config) for client in theirs]}
        if tracer.wraps_ours:
            orders["guard first"] = [tracer.wrap(client) for client in made_before]
            orders["guard made later"] = [tracer.wrap(bench.client()), tracer.wrap(bench.async_client())]
        for order, clients in orders.items():
            seen = []
            for client in clients:
                await use_sdk(client, bench.model)
                seen.append(tracer.seen())
            assert (order, expected) == (order, seen)
        assert bench.served - unguarded == unguarded * len(orders)
        assert bench.remembered == bench.served - unguarded
        assert orders["tracer first"][0].guard.keep_alive(force=True).sent


@pytest.mark.parametrize("installed_first", [True, False], ids=["guard first", "tracer first"])
@pytest.mark.parametrize("start", TRACERS.values(), ids=TRACERS)
def test_tracer_and_installed_guard_see_every_call_once(bench, start, installed_first):
    asyncio.run(_installed(bench, start, installed_first=installed_first))


async def _installed(bench, start, *, installed_first):
    # A tracer is started once: some see less when they are started anew, also without a guard.
    first = install(bench.config) if installed_first else contextlib.nullcontext()
    with contextlib.ExitStack() as installed:
        installed.enter_context(first)
        with start() as tracer:
            seen, served = [], [bench.served]
            for _ in range(2):
                seen.append(await _seen_of_own_clients(bench, tracer))
                served.append(bench.served)
                if installed_first:
                    installed.close()
                else:
                    installed.enter_context(install(bench.config))
        one, other = seen
        if not any(one + other):
            pytest.skip("this tracer can be started once in a process, and was")
        assert one == other
        assert served[2] - served[1] == served[1] - served[0] == bench.remembered


async def _seen_of_own_clients(bench, tracer):
    seen = []
    for cls in (tracer.sync, tracer.asynchronous):
        tracer.seen()
        client = cls(max_retries=0)
        await use_sdk(tracer.wrap(client), bench.model)
        seen.append(tracer.seen())
        await done(client.close())
    return seen
