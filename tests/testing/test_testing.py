"""The public tools for a program's own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

import finetune_guard.simulator
import finetune_guard.testing
from finetune_guard import GuardConfigError
from finetune_guard.testing import SimulatedClock, Simulator, simulator_clock, simulator_environment

NOW = datetime(2026, 8, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def simulator(monkeypatch):
    with Simulator(clock=SimulatedClock(NOW)) as simulator:
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.base_url)
        yield simulator


def run(*arguments, environment=None, **options):
    options |= {"env": {**os.environ, **(environment or {})}, "capture_output": True, "text": True}
    return subprocess.run([sys.executable, *arguments], timeout=300, check=False, **options)


def test_testing_offers_the_simulators_public_classes():
    for name in ("Simulator", "SimulatedClock", "Fault"):
        assert getattr(finetune_guard.simulator, name) is getattr(finetune_guard.testing, name)
    with pytest.raises(AttributeError, match=r"'finetune_guard\.testing' has no attribute 'Simulater'"):
        _ = finetune_guard.testing.Simulater


@pytest.mark.slow
def test_testing_imports_neither_pytest_nor_the_simulator():
    costly = "[name for name in ('pytest', 'starlette', 'uvicorn') if name in sys.modules]"
    finished = run("-c", f"import sys, finetune_guard.testing; print({costly})")
    assert ("[]\n", 0) == (finished.stdout, finished.returncode), finished.stderr


def test_clock_returns_the_simulators_time_or_names_the_address(simulator, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://somebody:hunter2@{simulator.host}/v1")
    before = simulator_clock()
    simulator.clock.advance(timedelta(days=61))
    assert (NOW, NOW + timedelta(days=61)) == (before, simulator_clock())
    simulator.stop()
    with pytest.raises(ConnectionError, match=f"http://{simulator.host}/_simulator/clock") as caught:
        simulator_clock()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [(None, ""), ("api", "api"), ("ftp://somebody:hunter2@127.0.0.1/v1", r"ftp://\*\*\*@127\.0\.0\.1/v1")],
)
def test_clock_names_the_variable_it_needs(base_url, shown, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if base_url is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    with pytest.raises(GuardConfigError, match=f"OPENAI_BASE_URL is '{shown}'"):
        simulator_clock()


@pytest.mark.slow
def test_environment_connects_an_unmodified_program(simulator, tmp_path):
    model = simulator.add_model()
    program = (
        "from finetune_guard import OpenAI\n"
        "with OpenAI() as client:\n"
        f"    client.chat.completions.create(model={model!r}, messages=[])\n"
        "    print(client.guard.active, client.guard.check().window_closes_at)\n"
    )
    finished = run("-c", program, environment=simulator_environment(simulator, tmp_path / "history"))
    assert ("True 2026-09-30 12:00:00+00:00\n", 0) == (finished.stdout, finished.returncode), finished.stderr


PLUGINS = 'pytest_plugins = ["finetune_guard.testing"]'
PROGRAM = """
from datetime import datetime, timedelta, timezone
import sys
import pytest
assert "openai" not in sys.modules and "starlette" not in sys.modules, "pytest's start imports too much"
from finetune_guard.testing import Fault
from finetune_guard import InferenceWindowExpiredError, NotEligibleError, OpenAI

def test_program(finetune_guard_simulator, finetune_guard_clock):
    model = finetune_guard_simulator.add_model()
    with OpenAI() as client:
        client.chat.completions.create(model=model, messages=[])
    finetune_guard_clock.advance(timedelta(days=61))
    with OpenAI() as client, pytest.raises(InferenceWindowExpiredError):
        client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-1")

@pytest.mark.finetune_guard(date="2026-12-01")
def test_date(finetune_guard_clock):
    assert finetune_guard_clock() == datetime(2026, 12, 1, 12, tzinfo=timezone.utc)

@pytest.mark.finetune_guard(date="2026-12-01T23:30:00+02:00")
class TestTime:
    def test_time(self, finetune_guard_clock):
        assert finetune_guard_clock() == datetime(2026, 12, 1, 21, 30, tzinfo=timezone.utc)

    @pytest.mark.finetune_guard(date="soon")
    def test_what_is_no_date(self, finetune_guard_clock):
        pass

    @pytest.mark.finetune_guard("2026-12-01")
    def test_what_is_no_keyword(self, finetune_guard_clock):
        pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conftest", "autoload"), [("", True), (PLUGINS, False)], ids=["entry point", "conftest alone"]
)
def test_fixtures_load_automatically_and_from_conftest(conftest, autoload, tmp_path):
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_program.py").write_text(PROGRAM if not conftest else PROGRAM.replace("assert", "#", 1))
    environment = {"OPENAI_ORG_ID": "org-of-somebody-else", "OPENAI_PROJECT_ID": "proj_of_somebody_else"}
    if not autoload:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    how = ("-m", "pytest", "-q", "-W", "error", "--strict-markers", "-p", "no:cacheprovider", tmp_path)
    finished = run(*how, environment=environment, cwd=tmp_path)
    output = finished.stdout + finished.stderr
    assert "3 passed, 2 errors" in finished.stdout, output
    assert "(date='soon'): a date as in '2026-12-01'" in output
    assert "('2026-12-01'): date=... is the only argument" in output
