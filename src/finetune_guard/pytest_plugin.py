"""The pytest fixtures of ``finetune_guard.testing``; imported by pytest only (PYTEST_DONT_REWRITE)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from finetune_guard.simulator import SimulatedClock, Simulator
from finetune_guard.testing import simulator_environment

_ELSEWHERE = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
"""Variables that would make a client speak for another organization than the simulator's."""


@pytest.fixture
def finetune_guard_clock() -> SimulatedClock:
    """The simulator's clock; it stands at noon of 2026-08-01, in the phase of the 60 days, until turned."""
    return SimulatedClock(datetime(2026, 8, 1, 12, tzinfo=timezone.utc))


@pytest.fixture
def finetune_guard_simulator(
    finetune_guard_clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Simulator]:
    """A simulator that serves, and an environment in which every client made from it uses it.

    The history is in a folder of this test's own, so clients share it, in other processes as well.
    """
    with Simulator(clock=finetune_guard_clock) as simulator:
        for name in _ELSEWHERE:
            monkeypatch.delenv(name, raising=False)
        for name, value in simulator_environment(simulator, tmp_path / "finetune-guard").items():
            monkeypatch.setenv(name, value)
        yield simulator
