"""The demo, run with the simulator."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from rich.cells import cell_len

from finetune_guard.cli.app import app
from finetune_guard.cli.demo import example
from tests.cli.conftest import RUNNER

pytestmark = pytest.mark.slow

MODEL = r"ft:gpt-4o-mini-2024-07-18:acme:parcels:\w+"
ONLY_THE_TIME_ASKED = r"calls\n      GET /v1/models -> 200\s*(\n    >|\Z)"
STEPS = {
    "An organization of which nothing is known": [r"unknown: no_inference_recorded", r"calls\)\n      0$"],
    "One ordinary call, and the window is known": [r"eligible: recent_inference, .* until 2026-10-02 09:00"],
    "Upload, fine-tune, wait": [rf"succeeded: {MODEL}$"],
    "The new model, in another program": [
        rf"python drop_in.py {MODEL}\n      This is a simulated answer.",
        rf"last_inference, in this process\n      {MODEL} at 2026-08-03 09:40 UTC",
    ],
    "63 days without an inference": [
        r"InferenceWindowExpiredError:(\n.*)*\n      Rule: (.*\n)*.*Evidence: (.*\n)*      What to do: ",
        ONLY_THE_TIME_ASKED,
    ],
    "Keep-alive, and the job goes through": [
        r"sent=True at 2026-10-05 09:40",
        r"ftjob-\w+: validating_files",
    ],
    "The same, without thinking of it": [
        r"calls\n      POST /v1/chat/completions -> 200\n      POST /v1/fine_tuning/jobs -> 200\n"
    ],
    "A program without the guard": [r"until 2027-02-22 09:40", rf"      {MODEL} ends on 2027-01-14"],
    "January 6 begins somewhere on Earth": [r"ftjob-\w+: validating_files\n +PolicyBoundaryWarning: "],
    "After January 6": [
        rf"FineTuningClosedError:(\n.*)*{ONLY_THE_TIME_ASKED}",
        rf"This is a simulated answer.\n      ModelSunsetWarning: {MODEL}",
    ],
    "A deployment on Azure": [
        r"This is a simulated answer.\n      IdleDeploymentWarning: support ",
        r"DeploymentGoneError:(\n.*)*last call .* 2027-01-20 13:00 UTC(.*\n)*.*chat/completions -> 404",
        r"azure.deploy\(.*\n      This is a simulated answer.$",
    ],
    "What is on disk": [
        r"( +0 times  the (API key|admin key|prompts|training data|answers)\n| +0 times  Azure's key\n){6}",
        r"^ +[1-9]\d* times  the organization's name",
        *([r"drwx------ +\d+ bytes  history$", r"-rw------- +\d+ bytes  cache.db$"] * (os.name == "posix")),
    ],
}


@pytest.fixture(scope="module")
def demo_output(tmp_path_factory):
    """The story, told to someone whose environment has wrong settings, another key and a proxy."""
    with pytest.MonkeyPatch.context() as environment:
        folder = tmp_path_factory.mktemp("demo")
        environment.setattr(tempfile, "tempdir", str(folder))
        environment.setenv("FINETUNE_GUARD_ON_UNKNOWN", "perhaps")
        environment.setenv("OPENAI_ORG_ID", "org-of-the-user")
        environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        environment.delenv("COLUMNS", raising=False)
        result = RUNNER.invoke(app, ["demo"])
    assert (0, "") == (result.exit_code, result.stderr)
    assert [] == list(folder.iterdir())
    return result.stdout


def test_demo_shows_every_step_in_order(demo_output):
    _, *parts = re.split(r"^ ?(\d+)  (.+)$", demo_output, flags=re.MULTILINE)
    assert [str(number) for number in range(1, len(STEPS) + 1)] == parts[::3]
    assert list(STEPS) == parts[1::3]
    for (title, expected), step in zip(STEPS.items(), parts[2::3], strict=True):
        missing = [pattern for pattern in expected if not re.search(pattern, step, re.MULTILINE)]
        assert [] == missing, (title, step)


def test_demo_folder_can_be_kept_and_output_fits_the_terminal(run, environment, tmp_path):
    environment.setenv("COLUMNS", "80")
    environment.setattr(tempfile, "tempdir", str(tmp_path))
    result = run("demo", "--keep")
    (folder,) = tmp_path.glob("finetune-guard-demo-*")
    assert (0, f"The history is kept in {folder}") == (result.exit_code, result.stdout.splitlines()[-1])
    assert 80 >= max(cell_len(line) for line in result.stdout.splitlines()[:-1])
    assert (folder / "history" / "cache.db").is_file()


def test_demo_runs_the_example_programs_themselves():
    for name in ("demo.py", "drop_in.py"):
        expected = Path(__file__).parents[2] / "examples" / name
        assert expected.read_text() == example().with_name(name).read_text()
