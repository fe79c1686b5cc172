"""The command line under hostile arguments, settings, answers and stores: it tells, and forges, nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from datetime import datetime, timezone

import pytest

from finetune_guard.cli.app import app
from finetune_guard.simulator import Fault, SimulatedClock, Simulator
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.keys import key
from finetune_guard.testing import simulator_environment
from tests.cli.conftest import RUNNER
from tests.hostile.hostile_values import FORGERIES

FORGERY = "".join(FORGERIES)
SETTABLE = FORGERY.replace("\x00", "").replace("\ud800", "").replace("\udcff", "")
COMMANDS = [
    *("status", "check", "check --json", "config", "config --json", "history", "history --json"),
    *("history --all", "history --all --json", "models", "models --csv", "keep-alive --dry-run"),
    *("alert --dry-run", "metrics", "export --dry-run", "export --orphans"),
]


@pytest.fixture(scope="module")
def sim():
    with Simulator(clock=SimulatedClock(datetime(2026, 11, 22, tzinfo=timezone.utc))) as simulator:
        yield simulator


@pytest.fixture
def environment(sim, tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "FINETUNE_GUARD_")) or name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)
    for name, value in simulator_environment(sim, tmp_path / "history").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", sim.organization().api_key)
    return monkeypatch


def output_of(*arguments):
    """Run a command and return its output, which must have no control characters."""
    result = RUNNER.invoke(app, list(arguments))
    printed = result.stdout + result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert re.sub(r"\n", "", printed).isprintable(), printed
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--base", "gpt{}"),
        ("keep-alive", "--dry-run", "--model", "ft:gpt:acme::{}"),
        ("keep-alive", "--watch", "--heartbeat", "/no/such/{}"),
        ("schedule", "kubernetes", "--image", "python{}"),
        ("schedule", "kubernetes", "--install", "x.whl{}"),
        ("schedule", "cron", "--every", "7d{}"),
        ("check", "--min-remaining", "7d{}"),
        ("no{}such",),
        ("status", "--no{}such"),
        ("sync", "--days", "7{}"),
    ],
)
def test_argument_forges_no_output(environment, arguments):
    output_of(*(argument.format(FORGERY) for argument in arguments))


@pytest.mark.parametrize(
    "variable",
    [
        *("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_ADMIN_KEY", "FINETUNE_GUARD_STORE"),
        *("FINETUNE_GUARD_HOSTS", "FINETUNE_GUARD_POLICY", "FINETUNE_GUARD_CLOCK"),
        *("FINETUNE_GUARD_KEEP_ALIVE", "FINETUNE_GUARD_NO{}SUCH"),
    ],
)
def test_setting_forges_no_output(environment, variable):
    environment.setenv(variable.format(SETTABLE), f"./a{SETTABLE}b")
    for command in ("config", "status", "sync"):
        output_of(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_planted_history_forges_no_output(environment, tmp_path, command):
    store = DiskStore(tmp_path / "history")
    store.salt(create=True)
    store.close()
    forged = "a\n\x1b[2Jb"
    evidence = {
        "organization": "acme",
        "last_inference": {"organization": "acme", "model": forged, "at": "2026-11-01T00:00:00Z"},
        "refusal": {"at": "2026-11-02T00:00:00Z", "code": forged, "message": forged},
    }
    rows = {
        key("evidence", "acme"): evidence,
        json.dumps(["evidence", forged], separators=(",", ":")): {"organization": forged},
        key("alias", "key:1"): forged,
        json.dumps(["shutdown", forged], separators=(",", ":")): {
            "day": None,
            "seen_at": "2026-11-02T00:00:00Z",
        },
    }
    with closing(sqlite3.connect(tmp_path / "history" / "cache.db")) as connection, connection:
        for row, value in rows.items():
            connection.execute(
                "INSERT INTO Cache (key, raw, mode, value, store_time) VALUES (?, 1, 1, ?, 0)",
                (row, f"1:{json.dumps(value)}"),
            )
    output_of(*command.split())


def test_api_error_forges_no_output(environment, sim):
    model = sim.add_model(suffix="bot")
    sim.fault(Fault(path="/v1/chat/completions", status=400, code=FORGERY[:60], message=FORGERY, times=5))
    output_of("keep-alive", "--force", "--model", model)
