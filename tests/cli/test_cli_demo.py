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

STEPS = [
    "An organization of which nothing is known",
    "One ordinary call, and the window is known",
    "Upload, fine-tune, wait",
    "The new model, in another program",
    "63 days without an inference",
    "Keep-alive, and the job goes through",
    "The same, without thinking of it",
    "A program without the guard",
    "January 6 begins somewhere on Earth",
    "After January 6",
    "What is on disk",
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
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


@pytest.fixture(scope="module")
def steps(told):
    """The text of each step by its title."""
    parts = re.split(r"^ ?(\d+)  (.+)$", told, flags=re.MULTILINE)
    assert [str(number) for number in range(1, len(STEPS) + 1)] == parts[1::3]
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def results(step):
    """Each call of a step with what came of it."""
    found = re.findall(r"^    > (.+)\n((?:      .*\n)*)", step, re.MULTILINE)
    return [(call, [line.strip() for line in lines.splitlines()]) for call, lines in found]


def test_it_tells_every_step(steps):
    """The whole main job is told, in its order."""
    assert STEPS == list(steps)


def test_nothing_is_known_at_first(steps):
    """The story begins with an honest unknown, and without a request."""
    calls = dict(results(steps[STEPS[0]]))
    assert ["unknown: no_inference_recorded"] == calls["client.guard.check()"]
    assert ["0"] == calls["len(simulator.calls)"]


def test_the_first_inference_opens_the_window(steps):
    """One call makes the organization eligible for sixty days."""
    assert "eligible: recent_inference" in steps[STEPS[1]]
    assert "until 2026-10-02 09:00 UTC" in steps[STEPS[1]]


def test_a_model_is_made_and_used_by_the_example(steps):
    """The job succeeds, and another process that imports ours uses the model; this one sees it."""
    model = re.search(r"succeeded: (ft:gpt-4o-mini-2024-07-18:acme:parcels:\w+)", steps[STEPS[2]])[1]
    told = dict(results(steps[STEPS[3]]))
    assert ["from finetune_guard import OpenAI  # instead of: from openai import OpenAI"] == told[
        "grep finetune_guard drop_in.py"
    ]
    assert ["This is a simulated answer."] == told[f"python drop_in.py {model}"]
    assert [f"{model} at 2026-08-03 09:40 UTC"] == told[
        "client.guard.check().last_inference, in this process"
    ]


def test_a_lapsed_window_is_refused_before_the_upload(steps):
    """On day 63 the upload is stopped with the rule, the evidence and the way out; nothing is sent."""
    told = results(steps[STEPS[4]])
    assert ": window_expired, the window closed on 2026-10-02 09:40 UTC" in told[1][1][0]
    assert "InferenceWindowExpiredError:" == told[2][1][0]
    for part in ("Rule: since 2026-07-02", "Evidence: ", "What to do: "):
        assert part in steps[STEPS[4]]
    assert ("simulator.calls", ["nothing reached the server"]) == told[3]


def test_a_keep_alive_opens_it_in_the_simulator(steps):
    """The keep-alive is sent, the job goes through, and what is not published is called so."""
    step = steps[STEPS[5]]
    assert "sent=True at 2026-10-05 09:40 UTC" in step
    assert "until 2026-12-04 09:40 UTC" in step
    assert re.search(r"ftjob-\w+: validating_files", step)
    assert "not published" in step


def test_a_policy_keeps_it_open(steps):
    """With KeepAlive the inference goes first and the job follows, by itself."""
    told = dict(results(steps[STEPS[6]]))
    assert ["POST /v1/chat/completions -> 200", "POST /v1/fine_tuning/jobs -> 200"] == told["simulator.calls"]
    assert "until 2027-01-23 09:40 UTC" in told["client.guard.check()"][0]


def test_the_whole_organization_is_seen(steps):
    """What a program without the guard ran is found with an admin key, and the models' ends are listed."""
    told = dict(results(steps[STEPS[7]]))
    assert "the latest inference: 2026-12-24 09:40 UTC" in told["client.guard.sync()"]
    assert "until 2027-02-22 09:40 UTC" in told["client.guard.check()"][0]
    assert all(line.endswith(" ends on 2027-01-14") for line in told["client.guard.models()"])


def test_january_6(steps):
    """The day itself is left to the API with a warning; the day after is closed, but models answer."""
    crossed, after = steps[STEPS[8]], steps[STEPS[9]]
    assert re.search(r"ftjob-\w+: validating_files\n +PolicyBoundaryWarning: ", crossed)
    assert "FineTuningClosedError:" in after
    assert "nothing reached the server" in after
    answer, warning = results(after)[-1][1]
    assert "This is a simulated answer." == answer
    assert warning.startswith("ModelSunsetWarning: ft:gpt-4o-mini-2024-07-18:acme:parcels:")


def test_what_is_on_disk(steps):
    """Only the owner can read it, and neither key nor words are in it; the search is shown to work."""
    step = steps[STEPS[10]]
    if os.name == "posix":
        assert re.search(r"drwx------ +\d+ bytes  history$", step, re.MULTILINE)
        assert re.search(r"-rw------- +\d+ bytes  cache.db$", step, re.MULTILINE)
        assert not re.search(r"^ +.(?!rw)....[rwx]", step)
    for what in ("the API key", "the admin key", "the prompts", "the training data", "the answers"):
        assert re.search(rf"^ +0 times  {what}$", step, re.MULTILINE)
    assert re.search(r"^ +[1-9]\d* times  the organization's name", step, re.MULTILINE)
    assert "acme-28gund: 2 models, 6 inferences on 5 days" in step


def test_it_can_be_kept_and_fits_the_terminal(run, environment, tmp_path):
    """--keep leaves the folder to look at it; no line is longer than the terminal is wide."""
    environment.setenv("COLUMNS", "80")
    environment.setattr(tempfile, "tempdir", str(tmp_path))
    result = run("demo", "--keep")
    (kept,) = tmp_path.glob("finetune-guard-demo-*")
    assert (0, f"The history is kept in {kept}") == (result.exit_code, result.stdout.splitlines()[-1])
    assert 80 >= max(cell_len(line) for line in result.stdout.splitlines()[:-1])
    assert (kept / "history" / "cache.db").is_file()


def test_the_examples_are_those_in_the_checkout():
    """What the demo runs are the example programs themselves, not copies made for it."""
    for name in ("demo.py", "drop_in.py"):
        assert (Path(__file__).parents[2] / "examples" / name).read_text() == example().with_name(
            name
        ).read_text()
