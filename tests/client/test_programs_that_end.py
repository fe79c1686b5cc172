"""Async programs end when their loop does, whatever a store is doing for the guard."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
    import asyncio, os, signal, threading, warnings
    from finetune_guard import AsyncOpenAI, GuardConfig
    from finetune_guard.stores.memory import MemoryStore

    warnings.simplefilter("ignore")  # nest_asyncio meets what a newer Python deprecates
    asked = threading.Event()

    class Stuck(MemoryStore):
        def evidence(self, organization):
            asked.set()
            threading.Event().wait()

    client = AsyncOpenAI(guard=GuardConfig(store=Stuck()))

    async def create():
        await client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-x")

    async def create_and(then):
        task = asyncio.ensure_future(create())
        while not asked.is_set():
            await asyncio.sleep(0.01)
        then()
        await task
"""
STOPPED = """
    loop = asyncio.new_event_loop()
    task = loop.create_task(create_and(loop.stop))
    loop.run_forever()
    print("ended", flush=True)
"""
INTERRUPTED = """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
    try:
        asyncio.run(create_and(lambda: os.kill(os.getpid(), signal.SIGINT)))
    except KeyboardInterrupt:
        print("ended", flush=True)
"""
WAITED = """
    try:
        asyncio.run(asyncio.wait_for(create(), 0.3))
    except asyncio.TimeoutError:
        print("ended", flush=True)
"""
NESTED = """
    import nest_asyncio
    nest_asyncio.apply()
"""
TRIO = """
    import trio

    async def main():
        with trio.move_on_after(0.3):
            await create()

    trio.run(main)
    print("ended", flush=True)
"""
ENDS = {
    "the loop is stopped": STOPPED,
    "Ctrl-C": INTERRUPTED,
    "it has waited long enough": WAITED,
    "nest_asyncio": NESTED + WAITED,
    "trio": TRIO,
}


@pytest.mark.parametrize("end", ENDS)
def test_async_program_ends_although_the_store_hangs(run_program, end):
    if end in {"nest_asyncio", "trio"} and importlib.util.find_spec(end) is None:
        pytest.skip(f"{end} is not installed")
    code, stdout, stderr = run_program(PROGRAM + ENDS[end])
    assert ("ended\n", 0) == (stdout, code), stderr
