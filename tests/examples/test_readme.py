"""Whatever the README shows is so: its programs run, its commands exist, its tables are complete."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import finetune_guard
from finetune_guard import FineTuneGuardError, GuardConfig
from finetune_guard.config import variable
from finetune_guard.testing import Fault

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def rows(heading):
    """The cells of the table under a heading, without its head."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def command(*arguments):
    script = shutil.which("finetune-guard", path=Path(sys.executable).parent)
    assert script is not None, "the command is not installed beside the interpreter"
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, encoding="utf-8", timeout=100, check=False
    )


@pytest.fixture
def lapsed(simulator, model, plain_client):
    """An organization that ran its last inference 61 days ago, and whose clients know that."""
    client = finetune_guard.OpenAI(max_retries=0)
    client.chat.completions.create(model=model, messages=[])
    client.close()
    simulator.clock.advance(timedelta(days=61))
    simulator.clear_calls()
    return simulator


def test_programs_run_as_they_stand(lapsed, training_file):
    """The first program creates its job after a keep-alive; the second one goes on with its client."""
    first, second, _ = blocks("python")
    names = {}
    exec(compile(first.replace("file-abc", training_file), "README.md, first", "exec"), names)
    exec(compile(second, "README.md, second", "exec"), names)
    names["client"].close()

    assert "validating_files" == names["job"].status
    assert "eligible" == names["eligibility"].verdict.value


def test_first_program_says_what_can_be_done(lapsed, capsys):
    """When no model answers the keep-alive, what is printed answers the four questions."""
    lapsed.fault(Fault(path="/v1/chat/completions", status=404, code="model_not_found", times=None))
    names = {}
    exec(compile(blocks("python")[0], "README.md, first", "exec"), names)
    names["client"].close()

    printed = capsys.readouterr().out.splitlines()
    beginnings = [
        "The fine-tuning job was not created",
        "Rule: ",
        "Evidence: ",
        "Keep-alive: ",
        "What to do: ",
    ]
    assert beginnings == [line[: len(start)] for line, start in zip(printed, beginnings, strict=True)]
    assert "POST /v1/fine_tuning/jobs" not in [f"{call.method} {call.path}" for call in lapsed.calls]


@pytest.mark.slow
def test_third_program_brings_the_fixtures(tmp_path):
    """The line for conftest.py is all that a test-suite needs."""
    (tmp_path / "conftest.py").write_text(blocks("python")[2], encoding="utf-8")
    (tmp_path / "test_it.py").write_text(
        "def test_it(finetune_guard_simulator, finetune_guard_clock):\n"
        "    assert finetune_guard_simulator.clock is finetune_guard_clock\n",
        encoding="utf-8",
    )
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "1 passed" in finished.stdout, finished.stdout


def test_commands_do_all_set_up():
    """Both commands install what they need, and what they run exists."""
    assert [
        "pip install uv && uv run --extra simulator finetune-guard demo",
        "pip install uv && uv run nox",
    ] == [line for block in blocks("sh") for line in block.splitlines()]
    assert (ROOT / "noxfile.py").is_file()
    assert '"nox' in (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\ndev = [")[2]


@pytest.fixture(scope="module")
def helped():
    """What the command that was installed says about itself."""
    finished = command("--help")
    assert 0 == finished.returncode
    return finished.stdout


@pytest.mark.parametrize("name", ["status", "check", "sync", "models", "keep-alive", "history", "config"])
def test_named_commands_exist(helped, name):
    """Each command that the README names is there once the package is installed."""
    assert f"`{name}`" in README or f"`finetune-guard {name}`" in README
    assert re.search(rf"^\W*{name} ", helped, re.MULTILINE)


def test_exit_codes_are_those_of_check():
    """Scripts can rely on the exit codes that the README names."""
    from finetune_guard.cli.exits import OF_VERDICT  # noqa: PLC0415 -- the command line's own

    told = dict(re.findall(r"(\d) (eligible|ineligible|unknown)\b", README))
    assert {str(int(code)): verdict.value for verdict, code in OF_VERDICT.items()} == told


def test_table_of_errors_is_complete():
    """Every public error is explained, and every one explained is public."""
    public = {
        name
        for name in finetune_guard.__all__
        if isinstance(found := getattr(finetune_guard, name), type) and issubclass(found, FineTuneGuardError)
    }
    told = [name.strip("`") for name, *_ in rows("Errors")]

    assert public - {"FineTuneGuardError", "NotEligibleError", "ModelLifetimeError"} == set(told)
    kinds = [getattr(finetune_guard, name) for name in told]
    assert all(issubclass(kind, finetune_guard.NotEligibleError) for kind in kinds[:5])
    assert all(issubclass(kind, finetune_guard.ModelLifetimeError) for kind in kinds[5:8])


def test_table_of_the_configuration_is_complete(monkeypatch):
    """Every field stands there with its variable and its default."""
    for name in GuardConfig.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    told = {row[0].strip("`"): row[1:3] for row in rows("Configuration")}
    written = {'"disk"': "disk", '"raise"': "raise", "off": None, "none": (), "True": True}

    assert list(GuardConfig.model_fields) == list(told)
    for name, (shown_variable, default) in told.items():
        assert f"`{variable(name)}`" == shown_variable
        if default.strip("`") in written:
            assert written[default.strip("`")] == getattr(GuardConfig(), name)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    """Every file that the README points to is there."""
    assert (ROOT / link).exists()


def test_requirements_are_those_of_the_package():
    """The oldest releases that the README names are those that pip would refuse to go below."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert 'requires-python = ">=3.10"' in project
    assert "Python 3.10 or newer" in README
    assert '"openai>=1.55.3"' in project
    assert "openai 1.55.3 to the newest" in README
