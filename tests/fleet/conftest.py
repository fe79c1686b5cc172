from __future__ import annotations

import multiprocessing
import os
import signal
import time
import uuid
from collections import Counter
from datetime import timedelta

import pytest

import finetune_guard
from finetune_guard.stores.open import open_store
from tests.fleet.fleet_casualties import HTTP
from tests.fleet.fleet_worker import CHAT, PATIENCE, Stage
from tests.support.constants import MESSAGES, START

OURS = (
    "client.guard_api engine.keep_alive recording.recorder stores.disk.store stores.disk.plain_cache "
    "stores.redis.rows"
)
PRELOADED = [
    *(f"finetune_guard.{name}" for name in OURS.split()),
    *("openai.resources.files", "openai.resources.fine_tuning", HTTP.__name__.replace("httpx", "httpcore")),
    *("anyio._backends._asyncio", "tenacity"),
]
"""What most processes need, loaded once for all of them."""

NEAR = START + timedelta(days=59)
"""When the window that an inference opened at ``START`` nears its end."""


@pytest.fixture(scope="session")
def processes(_few_certificates):
    """Makes processes that share nothing with this one; quickly, where a third one can fork them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class Running:
    """A process that does some work, and the pipe through which it tells what came of it."""

    def __init__(self, context, work, arguments):
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(*arguments, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, what):
        self._pipe.send(what)

    def receive(self):
        """Return what it tells next."""
        assert self._pipe.poll(PATIENCE), "it doesn't end"
        return self._pipe.recv()

    def ended(self):
        """The code that it ends with."""
        self._process.join(PATIENCE)
        return self._process.exitcode

    def go_on(self):
        """Let it go on after it was stopped; return what it tells then."""
        deadline = time.monotonic() + PATIENCE
        while not self._pipe.poll(0.05):
            assert time.monotonic() < deadline, "it doesn't go on"
            os.kill(self._process.pid, signal.SIGCONT)
        return self._pipe.recv()

    def close(self):
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()


@pytest.fixture
def begin(processes):
    """Begins work in processes of their own; none outlives the test."""
    running = []

    def start(work, *arguments):
        running.append(Running(processes, work, arguments))
        return running[-1]

    yield start
    for process in running:
        process.close()


@pytest.fixture(params=["disk", "redis"])
def location(request, tmp_path):
    """The store of the fleet, as a user writes it."""
    if request.param == "disk":
        return str(tmp_path / "history")
    url = request.getfixturevalue("redis_server").url
    return f"{url}?prefix={uuid.uuid4().hex}&timeout=60"


@pytest.fixture
def store(location):
    """The fleet's store, for the test to read."""
    store = open_store(location)
    yield store
    store.close()


@pytest.fixture
def closing_windows(sim, location):
    """Makes organizations whose window nears its end, one for each of the names; their stages."""

    def make(*slugs):
        stages = []
        for slug in slugs:
            key = f"sk-{slug}"
            model = sim.add_model(sim.add_organization(slug=slug, api_key=key))
            stages.append(Stage(sim.base_url, slug, key, model, location, START))
        first = stages[0]
        with finetune_guard.OpenAI(
            base_url=first.base_url, api_key=first.key, guard=first.config()
        ) as client:
            for stage in stages:
                keyed_client = client.with_options(api_key=stage.key)
                keyed_client.chat.completions.create(model=stage.model, messages=MESSAGES)
            client.guard.flush()
        sim.clock.set(NEAR)
        sim.clear_calls()
        return [stage.at(NEAR) for stage in stages]

    return make


@pytest.fixture
def keep_alives(sim):
    """Counts the inferences that each organization has sent since its window nears its end."""

    def count():
        return Counter(call.organization for call in sim.calls if call.path == CHAT)

    return count
