"""Tasks that are cancelled during a decision leave nothing behind."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from finetune_guard import KeepAlive
from finetune_guard.client.drivers import drive_async
from finetune_guard.openai_api.flow import ApiCall, InParallel
from finetune_guard.simulator import Fault
from finetune_guard.stores.memory import MemoryStore
from tests.client.flavours import ASYNC
from tests.support.constants import BASE

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"


class BlockingStore(MemoryStore):
    """A store of which one method takes until someone lets it pass."""

    def __init__(self, name):
        super().__init__()
        self.reached, self.let_pass = threading.Event(), threading.Event()
        method = getattr(self, name)

        def held_up(*arguments, **options):
            self.reached.set()
            assert self.let_pass.wait(60)
            return method(*arguments, **options)

        setattr(self, name, held_up)


@pytest.fixture
async def connect_async(sim, configured, model):
    """Makes async clients that keep the window open."""
    clients = []

    def make(http_client=None, deadline=timedelta(seconds=60), **config):
        guard = configured(keep_alive=KeepAlive(deadline=deadline), **config)
        options = {"base_url": sim.base_url, "api_key": sim.organization().api_key, "max_retries": 0}
        clients.append(ASYNC.guarded(guard=guard, http_client=http_client, **options))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


async def wait_until_served(sim):
    """Wait until the request that is to be answered late has arrived."""
    while sim._faults._pending:  # noqa: ASYNC110 -- a thread brings it about
        await anyio.sleep(0.01)


async def cancelled_once_served(sim, scope):
    await wait_until_served(sim)
    scope.cancel()


def creation(client):
    return asyncio.ensure_future(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))


async def test_cancelled_task_ends_at_once_and_its_lease_is_released(connect_async):
    store = BlockingStore("lease")
    client = connect_async(store=store)
    task = creation(client)
    await anyio.to_thread.run_sync(store.reached.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.let_pass.set()
    assert (await client.guard.keep_alive()).sent


async def test_cancelled_anyio_scope_leaves_nothing_behind(connect_async, sim):
    client = connect_async()
    sim.fault(Fault(path="/v1/models", method="GET", delay=600))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancelled_once_served, sim, tasks.cancel_scope)
        await client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
    assert tasks.cancel_scope.cancel_called
    assert (await client.guard.keep_alive()).sent


async def test_client_is_closed_although_closing_is_cancelled(connect_async, model):
    store = BlockingStore("record")
    client = connect_async(store=store)
    await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
    await anyio.to_thread.run_sync(store.reached.wait, 60)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await client.close()
    store.let_pass.set()
    assert client.is_closed()


async def test_first_error_of_parallel_flows_cancels_the_others():
    started = []

    def flow(name):
        started.append(name)
        yield ApiCall("GET", name)

    def together():
        yield InParallel((flow(name) for name in ("broken", "slow", "never")), at_once=2)

    async def ask(call):
        await (anyio.lowlevel.checkpoint() if call.path == "broken" else anyio.sleep_forever())
        raise RuntimeError(call.path)

    with pytest.raises(RuntimeError, match="broken"):
        await drive_async(together(), ask)
    assert "never" not in started
