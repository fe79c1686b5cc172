"""Keep-alives of processes whose store does not do all that is asked of it.

A process uses one store for a place, whichever was there first; so these are processes of their own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import finetune_guard
from finetune_guard import KeepAlive, StoreError
from finetune_guard.stores.open import open_store
from tests.fleet.fleet_attempts import ON_CALL, told
from tests.fleet.fleet_worker import PATIENCE

IMPATIENT = KeepAlive(deadline="0.5s")
THREADS = 16


def send_without_a_trace(stage, pipe):
    """Send a keep-alive that the store refuses to remember; tell what came of it."""

    class Refusing(type(open_store(stage.location))):
        def record(self, organization, activities):
            raise StoreError("not now")

    store = Refusing(stage.location)
    with stage.connect(finetune_guard.OpenAI, keep_alive=ON_CALL, store=store) as client:
        pipe.send(told(client.guard.keep_alive()))


def ask_while_overloaded(stage, pipe):
    """Ask for a keep-alive while the store does not answer twice; tell what came of it."""

    class Overloaded(type(open_store(stage.location))):
        times = 0

        def lease(self, name, ttl):
            self.times += 1
            if self.times < 3:
                raise StoreError("it did not answer in time")
            return super().lease(name, ttl)

    store = Overloaded(stage.location)
    with stage.connect(finetune_guard.OpenAI, keep_alive=IMPATIENT, store=store) as client:
        pipe.send((told(client.guard.keep_alive()), store.times >= 3))


def ask_without_leases(stage, pipe):
    """Ask for a keep-alive in many threads where the store gives no leases; tell what came of each."""

    class Leaseless(type(open_store(stage.location))):
        def lease(self, name, ttl):
            raise StoreError("read-only")

    kept = {"keep_alive": ON_CALL, "store": Leaseless(stage.location)}
    with stage.connect(finetune_guard.OpenAI, **kept) as client, ThreadPoolExecutor(THREADS) as threads:
        asking = [threads.submit(client.guard.keep_alive) for _ in range(THREADS)]
        pipe.send([told(each.result(PATIENCE)) for each in asking])
