"""Fixtures and settings for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import certifi
import pytest
from hypothesis import HealthCheck, settings

from tests.support.constants import START
from tests.support.effort import some

# No test is timed: how long an example takes says more about the machine than about the code. New examples
# are for where someone looks at what they find; elsewhere one commit always gives the same result.
settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI", "").lower() in {"1", "true"},
    max_examples=some(100),
)
settings.load_profile("untimed")


STARTS_A_PROCESS = {"begin", "helped", "locked", "run_example", "run_program", "start", "tls_server"}
"""The fixtures that start a process, or let a test start one."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark tests that use a slow fixture as slow."""
    for item in items:
        if not STARTS_A_PROCESS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _few_certificates(tmp_path_factory):
    """Makes each client load one certificate instead of hundreds, which no test needs."""
    end = "-----END CERTIFICATE-----\n"
    certificate = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    one = tmp_path_factory.mktemp("certificates") / "one.pem"
    one.write_text(certificate, encoding="utf-8")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(one))
        yield


@pytest.fixture(scope="session")
def redis_server():
    """The Redis server of this test process, started on first use."""
    from tests.support.redis_server import RedisServer  # noqa: PLC0415 -- few tests need redis-py

    with RedisServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    """Isolates the tests from the machine's settings and state."""
    for name in tuple(os.environ):
        if name.startswith(("OPENAI_", "FINETUNE_GUARD_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def clock():
    """A stopped clock, in the phase with the 60-day rule."""
    from finetune_guard.simulator import SimulatedClock  # noqa: PLC0415 -- as above

    return SimulatedClock(START)


@pytest.fixture
def sim(clock):
    """The simulated API, which uses ``clock``."""
    from finetune_guard.simulator import Simulator  # noqa: PLC0415 -- as above

    with Simulator(clock=clock) as simulator:
        yield simulator


@pytest.fixture
def model(sim):
    """A fine-tuned model of the organization, not called yet."""
    return sim.add_model(suffix="support-bot")
