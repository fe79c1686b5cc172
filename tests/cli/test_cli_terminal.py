"""How output looks: in a terminal of 80 columns, in a pipe, without colours, in plain ASCII."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.cells import cell_len

from finetune_guard.cli.app import app
from tests.cli.conftest import RUNNER

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs POSIX terminals and signals")


def without_escapes(text):
    return ESCAPE.sub("", text)


@pytest.mark.parametrize("width", [56, 80])
@pytest.mark.parametrize("command", ["status", "status -v", "history", "config", "models"])
def test_nothing_is_wider_than_the_terminal(run, environment, ask, model, command, width):
    """Tables, the timeline and texts fit the width; a pipe gets no colours, and a line for each fact."""
    ask(model)
    piped = run(*command.split()).stdout
    assert piped == "".join(f"{line.rstrip()}\n" for line in without_escapes(piped).splitlines())
    if command == "status -v":
        source = r"#update-to-openais-self-serve-fine-tuning\)"
        assert re.search(rf"^Rule +since 2026-07-02: .*{source}$", piped, re.MULTILINE)
    environment.setenv("FORCE_COLOR", "1")
    environment.setenv("COLUMNS", str(width))
    output = run(*command.split()).stdout
    assert ESCAPE.search(output)
    shown = [line.rstrip() for line in without_escapes(output).splitlines()]
    assert width >= max(
        cell_len(line) for line in shown if max(map(len, line.split()), default=0) < width / 3
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_any_encoding_is_enough(start, ask, model, encoding):
    """Where only few characters can be printed, every sign has a counterpart and nothing fails."""
    ask(model)
    for command in ("status", "history"):
        process = start(
            command, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}, encoding=encoding
        )
        out, err = process.communicate(timeout=300)
        assert (0, "", False) == (process.returncode, err, "?" in out)


@POSIX_ONLY
@pytest.mark.parametrize("command", ["history", "check"])
def test_a_broken_pipe_is_silent(start, ask, model, command):
    """`finetune-guard history | head -0` is no error and prints none."""
    ask(model)
    reading, writing = os.pipe()
    os.close(reading)
    process = start(command, stdout=writing)
    os.close(writing)
    assert (None, "", 0) == (*process.communicate(timeout=300), process.returncode)


@POSIX_ONLY
@pytest.mark.slow
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), (">&- 2>&- <&-", 0), (">/dev/full", 1)])
@pytest.mark.parametrize("command", ["check", "status", "--help"])
def test_closed_and_full_outputs(ask, model, environment, command, closed, code):
    """Who wants no output gets the exit code alone; output that is lost is a failure told in one line."""
    ask(model)
    if "full" in closed and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    script = f"{shlex.quote(sys.executable)} -m finetune_guard {command} {closed}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=300)
    told = "Error: The output can't be written: No space left on device.\n" if code else ""
    assert (code, told) == (done.returncode, done.stderr)


def heed_interrupts():
    """A program that a script starts in the background begins with Ctrl-C ignored; a person's doesn't."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@POSIX_ONLY
def test_interrupting_is_exit_130(start, environment, model):
    """Ctrl-C ends a command that waits for the API, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        host = f"127.0.0.1:{server.getsockname()[1]}"
        environment.setenv("OPENAI_BASE_URL", f"http://{host}/v1")
        environment.setenv("FINETUNE_GUARD_HOSTS", host)
        environment.delenv("FINETUNE_GUARD_CLOCK")
        process = start("keep-alive", "--model", model, "--force", preexec_fn=heed_interrupts)
        connection, _ = server.accept()  # and never answer
        with connection:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=300)
    assert 130 == process.returncode
    assert "" == err


def test_version(run):
    """--version names what a bug report needs."""
    result = run("--version")
    assert 0 == result.exit_code
    assert result.stdout.startswith(
        f"finetune-guard {version('finetune-guard')} (openai {version('openai')}, "
    )


def test_help_groups_every_command_by_its_purpose(run, environment):
    """--help says what the commands are for; flags stand there as they are typed."""
    environment.setenv("COLUMNS", "80")
    output = run("--help").stdout
    panels = re.split(r"^╭─ ", output, flags=re.MULTILINE)[2:]
    listed = {
        panel.splitlines()[0].strip("─╮ "): re.findall(r"^│ (\S+)", panel, re.MULTILINE) for panel in panels
    }
    assert {"status", "check", "models", "history"} <= {*listed["See where you stand"]}
    assert {"keep-alive", "schedule", "sync"} <= {*listed["Keep the window open"]}
    for command in [name for panel in listed.values() for name in panel]:
        shown = run(command, "--help")
        assert (0, True, False) == (shown.exit_code, "--help" in shown.stdout, "bool" in shown.stdout.lower())


def test_a_shell_completes_commands(environment):
    """The shell's completion, once it is installed, knows the commands."""
    asks = {"_FINETUNE_GUARD_COMPLETE": "complete_bash", "COMP_WORDS": "finetune-guard st", "COMP_CWORD": "1"}
    result = RUNNER.invoke(app, [], env=asks, prog_name="finetune-guard")
    assert (0, "status") == (result.exit_code, result.stdout.strip())
    assert "--install-completion" in RUNNER.invoke(app, ["--help"]).stdout


@pytest.mark.slow
def test_checking_loads_only_what_it_needs(environment):
    """The line for scripts is printed without loading what draws or serves."""
    code = (
        "import sys\n"
        "from finetune_guard.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(int(end.code))\n"
        "costly = {'finetune_guard.cli.render', 'starlette', 'uvicorn'}\n"
        "print(sorted(costly & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check"], capture_output=True, text=True, check=True, timeout=300
    )
    assert ["4", "[]"] == done.stdout.splitlines()[1:]
