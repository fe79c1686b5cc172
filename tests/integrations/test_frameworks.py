"""Third-party frameworks with guarded clients over real HTTP, if installed."""

from __future__ import annotations

import asyncio

import pytest

from tests.integrations.frameworks import PROGRAMS

# What frameworks warn of is theirs; a warning of ours would be a surprise to their users.
pytestmark = [
    pytest.mark.matrix,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("error::finetune_guard.FineTuneGuardWarning"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_framework_works_and_its_inferences_count_once(bench, program):
    asyncio.run(program(bench))
    assert bench.served > 0
    assert bench.remembered == bench.served
    assert bench.last == bench.model
