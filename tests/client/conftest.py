from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import respx

from finetune_guard import GuardConfig, guard
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.testing import simulator_environment
from tests.client.flavours import ASYNC, HTTP, SYNC, done
from tests.support.azure import AZURE, BASE, KEY, TOKEN, TUNED, VERSION
from tests.support.constants import MESSAGES


@pytest.fixture(params=[SYNC, ASYNC], ids=["sync", "async"])
def flavour(request):
    """The half of the SDK that a scenario runs through: each runs through both."""
    return request.param


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def configured(sim, clock, store):
    """Makes configurations that guard the simulator and share one history."""

    def make(**fields):
        return GuardConfig(**{"store": store, "hosts": [sim.host], "clock": clock, **fields})

    return make


@pytest.fixture
async def closing():
    """Takes clients in and closes them when the test is over."""
    clients = []

    def take(client):
        clients.append(client)
        return client

    yield take
    for client in clients:
        if not client.is_closed():
            await done(client.close())


@pytest.fixture
def connect(flavour, sim, configured, closing):
    """Makes guarded clients of the simulated API; fields of the configuration are given as ``config``."""

    def make(config=None, **options):
        defaults = {
            "base_url": sim.base_url,
            "api_key": sim.organization().api_key,
            "max_retries": 0,
            "guard": configured(**(config or {})),
        }
        return closing(flavour.guarded(**{**defaults, **options}))

    return make


@pytest.fixture
def connect_bare(flavour, sim, closing):
    """Makes clients of the SDK itself for the simulated API."""

    def make(**options):
        defaults = {"base_url": sim.base_url, "api_key": sim.organization().api_key, "max_retries": 0}
        return closing(flavour.bare(**{**defaults, **options}))

    return make


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def bare(connect_bare):
    return connect_bare()


@pytest.fixture
def infer(model):
    """Runs one inference on the fine-tuned model."""

    async def run(client, on=model, **options):
        return await done(client.chat.completions.create(model=on, messages=MESSAGES, **options))

    return run


@pytest.fixture
def posts(sim):
    """Counts the POST requests that the simulated API has served on a path."""

    def count(path):
        return sum((call.method, call.path) == ("POST", f"/v1{path}") for call in sim.calls)

    return count


@pytest.fixture
def wire():
    """A respx router in the network's place, for the HTTP library of the installed SDK."""
    using = "httpcore2" if HTTP.__name__ == "httpx2" else "httpcore"
    with respx.mock(using=using, assert_all_called=False) as router:
        yield router


@pytest.fixture
def azure(sim):
    sim.azure.add_resource("east", api_key=KEY, tokens=[TOKEN])
    sim.azure.deploy("east", "support", model=TUNED)
    sim.azure.deploy("east", "quiet", model=TUNED, shown_as=BASE)
    sim.azure.deploy("east", "plain", model=BASE)
    return sim.azure


@pytest.fixture
def azure_config(store, clock):
    def make(**fields):
        return GuardConfig(**{"store": store, "clock": clock, "policies": (AZURE,), **fields})

    return make


@pytest.fixture
def connect_azure(flavour, azure, azure_config, closing):
    """Makes guarded clients of a resource, by the API that is named."""

    def make(api="key", **fields):
        endpoint = azure.endpoint("east")
        if api == "v1":
            base_url = f"{endpoint}/openai/v1/"
            client = flavour.guarded(
                base_url=base_url, api_key=KEY, max_retries=0, guard=azure_config(**fields)
            )
            return closing(client)
        how = {
            "key": {"api_key": KEY},
            "token": {"azure_ad_token": TOKEN},
            "provider": {"azure_ad_token_provider": flavour.returning(TOKEN)},
            "deployment": {"api_key": KEY, "azure_deployment": "support"},
        }[api]
        bare = flavour.azure(azure_endpoint=endpoint, api_version=VERSION, max_retries=0, **how)
        return closing(guard(closing(bare), azure_config(**fields)))

    return make


@pytest.fixture
def run_program(sim, tmp_path):
    """Runs a separate program against the simulated API; returns its exit code, stdout and stderr."""

    def run(text, *arguments, store=tmp_path / "history"):
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *arguments],
            env={**os.environ, **simulator_environment(sim, store)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    return run
