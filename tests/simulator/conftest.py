from __future__ import annotations

from datetime import datetime, timezone

import openai
import pytest

from finetune_guard.simulator import SimulatedClock, Simulator

TRAINING_DATA = (
    b'{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}\n'
)


@pytest.fixture
def clock():
    return SimulatedClock(datetime(2026, 8, 1, tzinfo=timezone.utc))


@pytest.fixture
def sim(clock):
    with Simulator(clock=clock) as simulator:
        yield simulator


@pytest.fixture
def connect():
    """Makes clients that validate every answer strictly, and closes them afterwards."""
    clients = []

    def make(simulator, organization=None, **options):
        key = (organization or simulator.organization()).api_key
        defaults = {"base_url": simulator.base_url, "api_key": key, "max_retries": 0}
        client = openai.OpenAI(**{**defaults, "_strict_response_validation": True, **options})
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(sim, connect):
    return connect(sim)


@pytest.fixture
def model(sim):
    return sim.add_model(suffix="support-bot")


@pytest.fixture
def training_file(client):
    return client.files.create(file=("train.jsonl", TRAINING_DATA), purpose="fine-tune").id
