"""The GitHub action: runs its steps as a runner does, with its inputs in the environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

import finetune_guard
from finetune_guard.testing import simulator_environment
from tests.support.constants import MESSAGES
from tests.support.webhook import SECRET, receiving

FOLDER = Path(__file__).parents[2] / ".github" / "actions" / "check"
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text(encoding="utf-8"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None, reason="the action's shell is bash"),
]


@pytest.fixture
def run_action(sim, tmp_path):
    """Runs the action; returns its exit code, its outputs, the job's summary and what the log shows."""

    def run(path=Path(sys.executable).parent, **inputs):
        values = {name: field["default"] for name, field in ACTION["inputs"].items()}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        outputs, summary = tmp_path / "outputs", tmp_path / "summary"
        for file in (outputs, summary):
            file.write_text("")
        (step,) = ACTION["runs"]["steps"]
        names = {
            name: re.fullmatch(r"\$\{\{ inputs\.(\S+) \}\}", text)[1] for name, text in step["env"].items()
        }
        guard = simulator_environment(sim, tmp_path / "history")
        del guard["OPENAI_API_KEY"], guard["FINETUNE_GUARD_STORE"]
        environment = {
            "PATH": f"{path}:{Path(shutil.which('bash')).parent}:/usr/bin:/bin",
            "GITHUB_ACTION_PATH": str(FOLDER),
            **dict.fromkeys(("HOME", "RUNNER_TEMP"), str(tmp_path)),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(summary),
            **guard,
            **{name: values[meant] for name, meant in names.items()},
        }
        command = [step["shell"], "-e", "-o", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        result = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        assert set(result) <= set(ACTION["outputs"])
        shown = done.stdout + done.stderr
        assert SECRET not in shown + summary.read_text()
        return done.returncode, result, summary.read_text(), shown

    return run


def test_action_fails_by_the_verdict_and_posts_alerts_once(run_action, sim, clock, tmp_path):
    key, store, model = sim.organization().api_key, tmp_path / "history", sim.add_model(suffix="bot")
    config = finetune_guard.GuardConfig(store=store, hosts=[sim.host], clock=clock)
    with finetune_guard.OpenAI(base_url=sim.base_url, api_key=key, guard=config) as client:
        client.chat.completions.create(model=model, messages=MESSAGES)
    with receiving() as webhook:
        inputs = {"store": str(store), "min_remaining": "35d", "webhook": webhook.url, "openai_api_key": key}
        code, outputs, summary, _ = run_action(**inputs)
        assert (0, {"verdict": "eligible", "exit-code": "0"}, []) == (code, outputs, webhook.posted)
        assert "    eligible: " in summary
        assert model in summary
        clock.advance(timedelta(days=31))
        for _ in range(2):
            code, outputs, summary, log = run_action(**inputs, slack="true")
            assert (8, {"verdict": "eligible", "exit-code": "8"}) == (code, outputs), log
            assert "less than the 35 days asked for" in summary
        assert [["text"]] == [list(body) for body in webhook.posted]


def test_undelivered_alert_fails_the_action(run_action, sim, tmp_path):
    code, outputs, summary, _ = run_action(
        openai_api_key=sim.organization().api_key,
        store=str(tmp_path / "history"),
        webhook=f"http://127.0.0.1:9/{SECRET}",
        refresh="false",
    )
    assert (4, "unknown") == (code, outputs["verdict"])
    assert "Not told, and tried again by the next run: the webhook at 127.0.0.1: Connection" in summary


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"webhook": "https://a.example/x"}, "Alerts need a store"),
        ({"install": "finetune-guard"}, "install is a name alone"),
        ({"install": "Finetune_Guard[redis]>=1"}, "install is a name alone"),
        ({"path": "/nowhere"}, "finetune-guard is not installed"),
    ],
)
def test_wrong_input_is_named(run_action, inputs, expected):
    """No package is installed by a name that others may register."""
    code, outputs, _, log = run_action(**inputs)
    assert (2, {"exit-code": "2"}) == (code, outputs)
    assert f"::error::{expected}" in log


def test_package_url_is_installed_in_its_own_environment(run_action, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    python = tools / "python3"
    python.write_text(
        '#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exec /usr/bin/env false\nmkdir -p "$3/bin"\n'
        f'printf \'#!/bin/sh\\nfor each; do echo "$each" >>{tmp_path}/installed; done\\n\' >"$3/bin/pip"\n'
        "printf '#!/bin/sh\\necho made up; exit 3\\n' >\"$3/bin/finetune-guard\"\n"
        'chmod +x "$3/bin/pip" "$3/bin/finetune-guard"\n'
    )
    python.chmod(0o755)
    wanted = "finetune-guard[redis] @ git+https://git.example/guard@v1"
    code, outputs, summary, _ = run_action(path=tools, install=wanted)
    assert (3, "ineligible") == (code, outputs["verdict"])
    assert "    made up" in summary
    run_action(path=tools, install="--index-url https://index.example finetune-guard")
    installed = (tmp_path / "installed").read_text().splitlines()
    assert ["install", "--quiet", wanted] == installed[:3]
    assert ["install", "--quiet", "--index-url", "https://index.example", "finetune-guard"] == installed[3:]
