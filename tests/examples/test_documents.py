"""Checks the README and docs/: programs run, commands exist, tables are complete.

A block of code is run by its language, in the order of the page: ``python`` in one namespace, unless its
first line names a file; ``text`` after it is what it prints, a line with ``...`` at its end as far as that;
of ``sh`` the commands of finetune-guard.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import finetune_guard
from finetune_guard import FineTuneGuardError
from finetune_guard.cli.app import app
from tests.examples.conftest import python

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
NOT_OURS = {"apt", "crontab", "curl", "docker", "gh", "git", "kubectl", "loginctl", "nox", "pip", "podman"}
NOT_OURS |= {".", "pytest", "python", "python3", "redis-cli", "systemctl", "uv"}
"""Programs of others that the pages name."""
STAYS = {"--watch", "demo", "run", "simulator"}
"""What stays, or starts another program: of such commands only the options are looked at."""


def blocks(page):
    matches = re.findall(
        r"^( *)```(\w+)\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return [(language, re.sub(rf"(?m)^{indent}", "", text)) for indent, language, text in matches]


def id_of(page):
    return str(page.relative_to(ROOT))


def with_blocks(*languages):
    pages = [page for page in PAGES if any(language in languages for language, _ in blocks(page))]
    return pytest.mark.parametrize("page", pages, ids=id_of)


def file_named(text):
    """The name of the file that a block is to be saved as."""
    named = re.match(r"# (\S+\.\w+)\n", text)
    return named[1] if named else None


@pytest.fixture
def world(simulator, training_file, monkeypatch, tmp_path):
    """An organization with the pages' model, which was asked 61 days ago, as its programs know."""
    simulator.add_model(base=MODEL)
    with finetune_guard.OpenAI(max_retries=0) as client:
        client.chat.completions.create(model=MODEL, messages=[])
    simulator.clock.advance(timedelta(days=61))
    simulator.azure.add_resource("acme", api_key="azure-key")
    simulator.azure.deploy("acme", "support-bot", model="gpt-4.1-mini-2025-04-14.ft-0a1b2c3d4e5f")
    monkeypatch.chdir(tmp_path)
    return simulator


def printed_by(text, names, page):
    """What a program prints, and the error that it ends with."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(text, id_of(page), "exec"), names)
        except FineTuneGuardError as error:
            (error_line,) = traceback.format_exception_only(error)
            out.write(error_line.replace(f"{type(error).__module__}.", ""))
    return out.getvalue()


def same(documented, printed):
    return (
        printed.startswith(documented.removesuffix("..."))
        if documented.endswith("...")
        else documented == printed
    )


@with_blocks("python")
def test_programs_print_what_the_page_says(page, world, training_file):
    names, printed, is_told = {"__name__": "__main__"}, "", True
    for language, text in blocks(page):
        if language == "python" and file_named(text) is None:
            assert is_told or "Error: " not in printed, printed
            program = text.replace("file-abc", training_file)
            program = program.replace("https://acme.openai.azure.com", world.azure.endpoint("acme"))
            printed = printed_by(program, names, page)
            is_told = False
        elif language == "python":
            compile(text, id_of(page), "exec")
        elif language == "text" and not is_told:
            is_told, lines = True, text.replace("file-abc", training_file).splitlines()
            assert len(lines) == len(printed.splitlines()), printed
            assert [] == [pair for pair in zip(lines, printed.splitlines(), strict=True) if not same(*pair)]
    assert is_told or "Error: " not in printed, printed
    for value in names.values():
        if isinstance(value, finetune_guard.OpenAI):
            value.close()


@pytest.mark.slow
def test_tutorial_works_from_an_empty_folder(tmp_path):
    """Who types the tutorial's commands and programs sees what it prints, on whatever day that is."""
    by_language = {"python": "", "sh": "", "text": ""}
    for language, text in blocks(ROOT / "docs" / "tutorial.md"):
        by_language[language] += text
    (command,) = re.findall(r"(?m)^finetune-guard (simulator.*)", by_language["sh"])
    arguments = (*command.split(), "--port", "0")
    server = subprocess.Popen([sys.executable, "-m", "finetune_guard", *arguments], stdout=-1, text=True)
    with server:
        try:
            told = "".join(itertools.takewhile(lambda line: "Ctrl-C" not in line, server.stdout))
            environment = {**os.environ, **dict(re.findall(r"export (\w+)=(\S+)", told))}
            finished = python("-c", by_language["python"], cwd=tmp_path, env=environment)
        finally:
            server.terminate()
    assert (by_language["text"], "") == (finished.stdout, finished.stderr)


def commands_in(text):
    """The commands of a block, without comments and without where their output goes."""
    for line in text.replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        for is_joint, command in itertools.groupby(words, lambda word: word == "&&"):
            if not is_joint:
                yield list(itertools.takewhile(lambda word: word != ">", command))


@with_blocks("sh")
def test_commands_run(page, world, monkeypatch, tmp_path):
    """Others than ours are known programs."""
    for language, text in blocks(page):
        if file_named(text) and language != "python":
            (tmp_path / file_named(text)).write_text(text)
        text_here = text.replace("https://acme.openai.azure.com", world.azure.endpoint("acme"))
        for program, *arguments in commands_in(text_here) if language == "sh" else ():
            if program == "export":
                monkeypatch.setenv(*arguments[0].split("=", 1))
            elif program == "finetune-guard":
                looked_at = arguments[:1] if arguments[0] == "run" else arguments
                stays = [*looked_at, "--help"] if STAYS & {*arguments} else arguments
                result = CliRunner().invoke(app, stays)
                assert result.exit_code not in (1, 2), f"{arguments}: {result.output}{result.exception!r}"
            else:
                assert program in NOT_OURS


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if any((file_named(t) or "").startswith("test_") for _, t in blocks(p))],
    ids=id_of,
)
def test_test_files_of_a_page_pass(page, tmp_path, run_pytest):
    for language, text in blocks(page):
        if language == "python" and file_named(text):
            (tmp_path / file_named(text)).write_text(text, encoding="utf-8")
    finished = run_pytest(tmp_path)
    assert 0 == finished.returncode, finished.stdout + finished.stderr


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_every_block_has_a_tested_language(page):
    readers = {
        "ini": lambda text: configparser.ConfigParser(strict=False).read_string(text),
        "json": json.loads,
        "toml": tomllib.loads,
        "yaml": lambda text: list(yaml.safe_load_all(text)),
    }
    for language, text in blocks(page):
        assert language in {*readers, "python", "sh", "text"}
        if language in readers:
            readers[language](text)


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_links_to_files_exist(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_readmes_commands_install_what_they_need():
    shown = "".join(text for language, text in blocks(ROOT / "README.md") if language == "sh")
    assert [
        "pip install uv && uv run --no-dev --extra simulator finetune-guard demo",
        "pip install uv && uv run nox",
    ] == [line for line in shown.splitlines() if "uv run" in line]
    assert (ROOT / "noxfile.py").is_file()
    assert '"nox' in (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\ndev = [")[2]


@pytest.mark.slow
def test_demo_ends_well_without_key_and_network():
    script = shutil.which("finetune-guard", path=Path(sys.executable).parent)
    assert script is not None, "the command is not installed beside the interpreter"
    finished = subprocess.run(
        [script, "demo"], capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
    )
    assert 0 == finished.returncode, finished.stderr
    assert "InferenceWindowExpiredError" in finished.stdout


def test_documented_errors_are_public():
    """The reference has every error, and the README's first five are of one kind."""
    section = README.partition("\n## Errors\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)`", section, re.MULTILINE)
    kinds = [getattr(finetune_guard, name) for name in documented]
    assert all(issubclass(kind, FineTuneGuardError) for kind in kinds)
    assert all(issubclass(kind, finetune_guard.NotEligibleError) for kind in kinds[:5])


def test_documented_exit_codes_are_those_of_check():
    from finetune_guard.cli.exits import ExitCode  # noqa: PLC0415 -- the command line's own

    codes = (ExitCode.OK, ExitCode.CLOSES_SOON, ExitCode.INELIGIBLE, ExitCode.UNKNOWN)
    documented = "exit code {:d} open, {:d} open but not for 14 days, {:d} closed, {:d} unknown".format(
        *codes
    )
    assert documented in README


def test_documented_requirements_are_the_packages():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.10"' in project
    assert "Python 3.10 or newer" in README
    assert '"openai>=1.55.3"' in project
    assert "openai 1.55.3 to the newest" in README
