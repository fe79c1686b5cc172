"""Tests of a program that fine-tunes, without a key and without a network.

pytest testing_your_code.py
"""

from datetime import timedelta

import openai
import pytest

from finetune_guard import InferenceWindowExpiredError, OpenAI
from finetune_guard.testing import Fault, SimulatedClock, Simulator

pytest_plugins = ["finetune_guard.testing"]  # in a test suite, put this line into conftest.py

EXAMPLE = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n'


def retrain() -> str:
    """The program under test, which doesn't know about the simulator."""
    with OpenAI(max_retries=0) as client:
        file = client.files.create(file=("examples.jsonl", EXAMPLE * 10), purpose="fine-tune")
        return client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file=file.id).id


def ask(model: str) -> None:
    """Another function of the program."""
    with OpenAI(max_retries=0) as client:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])


def test_retrains_while_the_window_is_open(finetune_guard_simulator: Simulator) -> None:
    """After a recent inference a job can be created."""
    ask(finetune_guard_simulator.add_model())

    assert retrain().startswith("ftjob-")


def test_uploads_nothing_once_the_window_has_closed(
    finetune_guard_simulator: Simulator, finetune_guard_clock: SimulatedClock
) -> None:
    """After 60 days without an inference nothing is uploaded."""
    ask(finetune_guard_simulator.add_model())
    finetune_guard_clock.advance(timedelta(days=61))
    finetune_guard_simulator.clear_calls()

    with pytest.raises(InferenceWindowExpiredError):
        retrain()
    assert "/v1/files" not in [call.path for call in finetune_guard_simulator.calls]


def test_other_errors_come_through(finetune_guard_simulator: Simulator) -> None:
    """The guard doesn't change errors that it isn't responsible for."""
    model = finetune_guard_simulator.add_model()
    finetune_guard_simulator.fault(Fault.insufficient_quota())

    with pytest.raises(openai.RateLimitError):
        ask(model)
