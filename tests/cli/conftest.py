from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
from datetime import datetime, timezone

import openai
import pytest
from typer.testing import CliRunner

import finetune_guard
from finetune_guard.cli.app import app
from finetune_guard.simulator import SimulatedClock
from finetune_guard.testing import simulator_environment
from tests.cli.cli_facts import ADMIN_KEY, API_KEY, flat
from tests.support.constants import BASE, MESSAGES

# Older releases of click would mix what goes to stderr into stdout.
MIXED = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
RUNNER = CliRunner(**MIXED)


@pytest.fixture
def clock():
    return SimulatedClock(datetime(2026, 8, 3, 9, tzinfo=timezone.utc))


@pytest.fixture
def organization(sim):
    return sim.add_organization(slug="acme-cli", api_key=API_KEY, fine_tuned_before=True, admin_key=ADMIN_KEY)


@pytest.fixture
def model(sim, organization):
    return sim.add_model(organization, base=BASE, suffix="support-bot")


@pytest.fixture
def environment(sim, organization, tmp_path, monkeypatch):
    """The environment of a program that uses the simulator."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in simulator_environment(sim, tmp_path / "history").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    return monkeypatch


@pytest.fixture
def admin(environment):
    """The environment has an admin key, too."""
    environment.setenv("FINETUNE_GUARD_ADMIN_API_KEY", ADMIN_KEY)
    return environment


@pytest.fixture
def run(environment):
    """Runs a command in this process, and checks that it prints no key."""

    def run_command(*arguments, **options):
        result = RUNNER.invoke(app, [*arguments], prog_name="finetune-guard", **options)
        printed = result.stdout + result.stderr
        assert (False, False) == (API_KEY in printed, ADMIN_KEY in printed)
        return result

    return run_command


@pytest.fixture
def says(run):
    """Runs a command line, expects the given parts in its output, and returns the output on one line."""

    def run_line(line, *expected, code=0, without=()):
        result = run(*shlex.split(line))
        output = flat(f"{result.stdout} {result.stderr}")
        assert code == result.exit_code, output
        assert [] == [part for part in expected if part not in output], output
        assert [] == [part for part in without if part in output], output
        return output

    return run_line


@pytest.fixture
def broken_store(environment, tmp_path):
    """A store that can't be read."""
    environment.setenv("FINETUNE_GUARD_STORE", str(tmp_path / "a-file"))
    (tmp_path / "a-file").write_text("not a history")


@pytest.fixture
def start(environment):
    """Starts a command in a process of its own."""
    started = []

    def start_command(*arguments, **options):
        defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        command = [sys.executable, "-m", "finetune_guard", *arguments]
        process = subprocess.Popen(command, **{**defaults, **options})
        started.append(process)
        return process

    yield start_command
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def ask(environment):
    """Calls a fine-tuned model as a program does, and lets the history be written."""

    def ask_model(model):
        with finetune_guard.OpenAI() as client:
            client.chat.completions.create(model=model, messages=MESSAGES)

    return ask_model


@pytest.fixture
def elsewhere(sim):
    """Calls a model from a program that isn't guarded, as another project of the organization."""

    def call(model, key=API_KEY):
        with openai.OpenAI(base_url=sim.base_url, api_key=key) as client:
            client.chat.completions.create(model=model, messages=MESSAGES)

    return call
