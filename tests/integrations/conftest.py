from __future__ import annotations

import pytest

from finetune_guard import GuardConfig
from finetune_guard.simulator import SimulatedClock, Simulator
from finetune_guard.stores.memory import MemoryStore
from tests.integrations.bench import Bench
from tests.support.constants import START


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """A simulated API with a fine-tuned model, and clients of it."""
    clock = SimulatedClock(START)
    with Simulator(clock=clock) as simulator:
        # For what a framework makes by itself; nothing may leave this machine.
        monkeypatch.setenv("OPENAI_API_KEY", simulator.organization().api_key)
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        config = GuardConfig(store=MemoryStore(), hosts=[simulator.host], clock=clock)
        yield Bench(simulator, config, simulator.add_model(suffix="support-bot"))
