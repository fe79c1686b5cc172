"""Async programs end when their loop does, whatever a store is doing for the guard."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

from finetune_guard.simulator import Simulator

pytestmark = pytest.mark.slow

PROGRAM = """
    import asyncio, os, signal, threading
    from finetune_guard import AsyncOpenAI, GuardConfig
    from finetune_guard.stores.memory import MemoryStore

    asked = threading.Event()

    class Stuck(MemoryStore):
        def evidence(self, organization):
            asked.set()
            threading.Event().wait()

    config = GuardConfig(store=Stuck(), hosts=[os.environ["HOST"]])
    client = AsyncOpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], guard=config)

    async def create():
        await client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-x")

    async def create_and(then):
        task = asyncio.ensure_future(create())
        while not asked.is_set():
            await asyncio.sleep(0.01)
        then()
        await task
"""

ENDS = {
    "the loop is stopped": """
        loop = asyncio.new_event_loop()
        task = loop.create_task(create_and(loop.stop))
        loop.run_forever()
        print("ended", flush=True)
        """,
    "Ctrl-C": """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
        try:
            asyncio.run(create_and(lambda: os.kill(os.getpid(), signal.SIGINT)))
        except KeyboardInterrupt:
            print("ended", flush=True)
        """,
    "it has waited long enough": """
        try:
            asyncio.run(asyncio.wait_for(create(), 0.3))
        except asyncio.TimeoutError:
            print("ended", flush=True)
        """,
    "nest_asyncio": """
        import nest_asyncio
        nest_asyncio.apply()
        try:
            asyncio.run(asyncio.wait_for(create(), 0.3))
        except asyncio.TimeoutError:
            print("ended", flush=True)
        """,
    "trio": """
        import trio

        async def main():
            with trio.move_on_after(0.3):
                await create()

        trio.run(main)
        print("ended", flush=True)
        """,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_although_the_store_never_answers(end):
    """A stopped loop, an interrupt and a timeout end a program in which a store call is under way."""
    for module in ("nest_asyncio", "trio"):
        if module in ENDS[end] and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    with Simulator() as sim:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(ENDS[end])],
            env={
                **os.environ,
                "HOST": sim.host,
                "BASE_URL": sim.base_url,
                "API_KEY": sim.organization().api_key,
            },
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert ("ended\n", 0) == (ran.stdout, ran.returncode), ran.stderr
