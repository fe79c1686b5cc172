"""``finetune-guard run``: a program runs as under python, and is guarded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, signal, sys
from pathlib import Path
first = sys.argv[1] if sys.argv[1:] else ""
if first == "openai":
    import openai
    with openai.OpenAI(api_key="sk-test") as client:
        print(type(client) is openai.OpenAI, client.guard.active)
elif first == "ours":
    from finetune_guard.engine.usage_sync import UsageSync
    import openai
    print(hasattr(openai.OpenAI, "guard"))
elif first == "fail":
    def deeper(): raise ValueError("mine")
    deeper()
elif first == "exit":
    sys.exit(23)
elif first == "signal":
    os.kill(os.getpid(), signal.SIGTERM)
else:
    names = [name for name in sys.modules if name.partition(".")[0] in ("openai", "finetune_guard")]
    print(json.dumps([__name__, sys.argv, sys.path, sys.stdin.read(), names, Path(__file__).name]))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def python(folder):
    """Runs a command line by python itself, or under ``finetune-guard run``."""

    def call(*arguments, under=(), text="", **environment):
        return subprocess.run(
            [sys.executable, *under, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


RUN = ("-m", "finetune_guard", "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("program.py",),
        ("program.py", "a\nb", "--help", "--", "-m"),
        ("-m", "package", "--debug"),
        ("package", "x"),
        ("program.py", "fail"),
        ("program.py", "exit"),
        ("program.py", "signal"),
        ("-m", "missing"),
    ],
    ids=" ".join,
)
def test_program_runs_as_under_python(arguments, python):
    expected = python(*arguments, text="typed")
    result = python(*arguments, under=RUN, text="typed")
    assert expected.stdout == result.stdout
    assert expected.stderr == result.stderr
    assert expected.returncode == result.returncode
    assert (expected.returncode == -signal.SIGTERM) is (arguments[-1] == "signal")


@pytest.mark.slow
def test_program_is_guarded_whatever_it_imports_first(python):
    for under in (RUN, (*RUN, "--")):
        assert "True True\n" == python("program.py", "openai", under=under).stdout
    result = python("-", "ours", under=RUN, text=PROGRAM)
    assert ("True\n", "") == (result.stdout, result.stderr)


@pytest.mark.slow
def test_sitecustomize_of_the_environment_still_runs(folder, python):
    (folder / "sitecustomize.py").write_text("import builtins; builtins.site_ran = __file__")
    program = "import builtins, json, sys; print(json.dumps([builtins.site_ran, sys.path]))"
    expected = python("-", text=program, PYTHONPATH=str(folder))
    result = python("-", under=RUN, text=program, PYTHONPATH=str(folder))
    assert str(folder / "sitecustomize.py") == json.loads(expected.stdout)[0]
    assert (expected.stdout, "") == (result.stdout, result.stderr)
