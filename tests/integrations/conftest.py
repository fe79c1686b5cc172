from __future__ import annotations

import importlib
import inspect

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


@pytest.fixture
def sdk_as_it_was():
    """Puts back the SDK's methods that a tracer has replaced and can't put back itself."""
    names = ("chat.completions", "completions", "embeddings", "responses")
    modules = [importlib.import_module(f"openai.resources.{name}") for name in names]
    classes = [cls for module in modules for _, cls in inspect.getmembers(module, inspect.isclass)]
    before = [(cls, name, value) for cls in classes for name, value in vars(cls).items()]
    yield
    for cls, name, value in before:
        if vars(cls).get(name) is not value:
            setattr(cls, name, value)
