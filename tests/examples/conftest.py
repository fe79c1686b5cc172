from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import finetune_guard
from finetune_guard.pytest_plugin import finetune_guard_clock, finetune_guard_simulator  # noqa: F401 -- fixtures
from finetune_guard.testing import simulator_environment
from tests.support.constants import TRAINING_DATA

EXAMPLES = Path(__file__).parents[2] / "examples"


def python(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture
def simulator(finetune_guard_simulator):  # noqa: F811 -- pytest's way
    return finetune_guard_simulator


@pytest.fixture
def model(simulator):
    return simulator.add_model(suffix="support-bot")


@pytest.fixture
def training_file(simulator, plain_client):
    """A training file that is uploaded already."""
    return plain_client.files.create(purpose="fine-tune", file=("examples.jsonl", TRAINING_DATA * 10)).id


@pytest.fixture
def plain_client(simulator):
    import openai  # noqa: PLC0415 -- after the environment is set

    with openai.OpenAI(max_retries=0) as client:
        yield client


@pytest.fixture
def asked(simulator, model):
    """The model has just been asked something, and the examples' history knows."""
    with finetune_guard.OpenAI(max_retries=0) as client:
        client.chat.completions.create(model=model, messages=[])
    simulator.clear_calls()
    return model


@pytest.fixture
def run_example(simulator, tmp_path):
    """Runs an example as people do: in a process of its own, unmodified."""

    def run(name, *arguments, returncode=0, **settings):
        guard = simulator_environment(simulator, tmp_path / "finetune-guard")
        finished = python(EXAMPLES / name, *arguments, env={**os.environ, **guard, **settings})
        assert returncode == finished.returncode, finished.stdout + finished.stderr
        return finished

    return run


@pytest.fixture
def run_pytest(tmp_path):
    """Runs test files as they stand, without a key, and without this test's environment."""

    def run(path):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        how = ("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider")
        return python(*how, path, cwd=tmp_path, env=environment)

    return run
