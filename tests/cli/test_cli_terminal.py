"""How output looks: in a terminal of 80 columns, in a pipe, without colours, in plain ASCII."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.cells import cell_len

import finetune_guard
from finetune_guard.cli.app import app
from tests.cli.conftest import RUNNER

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs POSIX terminals and signals")


def without_escapes(text):
    return ESCAPE.sub("", text)


@pytest.mark.parametrize("width", [56, 80])
@pytest.mark.parametrize("command", ["status", "status -v", "history", "config", "models"])
def test_output_fits_the_terminal_and_pipes_have_no_colours(run, environment, ask, model, command, width):
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
def test_ascii_output_has_a_counterpart_for_every_sign(start, ask, model, encoding):
    ask(model)
    for command in ("status", "history"):
        process = start(
            command, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}, encoding=encoding
        )
        out, err = process.communicate(timeout=300)
        assert (0, "", False) == (process.returncode, err, "?" in out)


@POSIX_ONLY
@pytest.mark.parametrize("command", ["history", "check"])
def test_broken_pipe_is_silent(start, ask, model, command):
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
def test_closed_output_keeps_the_exit_code_and_lost_output_fails(
    ask, model, environment, command, closed, code
):
    ask(model)
    if "full" in closed and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    script = f"{shlex.quote(sys.executable)} -m finetune_guard {command} {closed}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=300)
    message = "Error: The output can't be written: No space left on device.\n" if code else ""
    assert (code, message) == (done.returncode, done.stderr)


def heed_interrupts():
    """A program that a script starts in the background begins with Ctrl-C ignored; a person's doesn't."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@POSIX_ONLY
def test_interrupt_exits_130_without_a_traceback(start, environment, model):
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


def test_version_names_what_a_bug_report_needs(run):
    result = run("--version")
    assert 0 == result.exit_code
    assert result.stdout.startswith(
        f"finetune-guard {version('finetune-guard')} (openai {version('openai')}, "
    )


def test_help_groups_commands_by_purpose(run, environment):
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


def test_shell_completes_commands(environment):
    asks = {"_FINETUNE_GUARD_COMPLETE": "complete_bash", "COMP_WORDS": "finetune-guard st", "COMP_CWORD": "1"}
    result = RUNNER.invoke(app, [], env=asks, prog_name="finetune-guard")
    assert (0, "status") == (result.exit_code, result.stdout.strip())
    assert "--install-completion" in RUNNER.invoke(app, ["--help"]).stdout


@pytest.mark.slow
def test_check_loads_no_rendering_or_server_code(environment):
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


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("check", lambda guard: guard.check()),
        ("history", lambda guard: guard.history()),
        ("models", lambda guard: guard.models()),
        ("keep-alive --dry-run", lambda guard: guard.plan_keep_alive()),
        ("keep-alive", lambda guard: guard.keep_alive()),
        ("sync", lambda guard: guard.sync()),
    ],
)
def test_json_is_what_the_guard_returns(run, admin, ask, model, clock, line, call):
    ask(model)
    clock.advance(timedelta(minutes=1))
    run("sync")
    result = run(*line.split(), "--json")
    with finetune_guard.OpenAI() as client:
        expected = call(client.guard)
    assert (0, "") == (result.exit_code, result.stderr)
    assert expected == type(expected).model_validate_json(result.stdout)
