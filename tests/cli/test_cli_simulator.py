from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.cli_facts import EXAMPLE

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def instructions(process):
    """What the simulator prints until it waits."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C stops it." in line:
            break
    return "".join(lines)


def exports(text):
    return dict(re.findall(r"^ +export (\w+)=(\S+)$", text, re.MULTILINE))


@POSIX_ONLY
@pytest.mark.slow
def test_its_instructions_work_as_printed(start):
    """A program with the printed variables calls the printed model; `check` then sees the inference."""
    process = start("simulator", "--port", "0", "--now", "2026-08-03", "--speed", "0")
    text = instructions(process)
    variables = exports(text)
    model = re.search(r"^ +(ft:\S+)$", text, re.MULTILINE)[1]
    environment = {**os.environ, **variables}
    example = subprocess.run(
        [sys.executable, EXAMPLE, model], env=environment, capture_output=True, text=True, check=True
    )
    assert "simulated answer" in example.stdout
    check = start("check", env=environment)
    assert "until 2026-10-02 00:00 UTC" in check.communicate(timeout=60)[0]
    assert 0 == check.returncode

    turn = re.search(r"^ +curl -d '(.*)' (\S+)$", text, re.MULTILINE)
    with urllib.request.urlopen(turn[2], turn[1].encode(), timeout=60) as answer:
        assert "2026-10-03T00:00:00+00:00" == json.load(answer)["now"]
    check = start("check", env=environment)
    check.communicate(timeout=60)
    assert 4 == check.returncode

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (0, "Stopped.\n", "") == (process.returncode, out, err)
    assert not Path(variables["FINETUNE_GUARD_STORE"]).parent.exists()


@POSIX_ONLY
def test_an_admin_key_can_be_had(start):
    """With --admin-key the instructions set an admin key, which reads the usage; without, they don't."""
    process = start("simulator", "--port", "0", "--now", "2026-08-03", "--speed", "0", "--admin-key")
    variables = exports(instructions(process))
    usage = urllib.request.Request(
        f"{variables['OPENAI_BASE_URL']}/organization/usage/completions?start_time=1785715200",
        headers={"Authorization": f"Bearer {variables['FINETUNE_GUARD_ADMIN_API_KEY']}"},
    )
    with urllib.request.urlopen(usage, timeout=60) as answer:
        assert [[]] == [bucket["results"] for bucket in json.load(answer)["data"]]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert "FINETUNE_GUARD_ADMIN_API_KEY" not in exports(instructions(start("simulator", "--port", "0")))


def test_a_port_that_is_taken(run):
    """A port in use is said, with the way out; exit 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("simulator", "--port", str(taken.getsockname()[1]))
    assert 2 == result.exit_code
    assert "--port 0" in result.stderr
    assert "" == result.stdout


def test_a_time_that_is_none(run):
    """A time that can't be read is shown beside an example of one that can."""
    result = run("simulator", "--now", "2026-13-01")
    assert 2 == result.exit_code
    assert "2026-08-03T09:00Z" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["simulator", "demo"])
def test_a_missing_extra_is_named(environment, tmp_path, command):
    """Without the simulator's own dependencies the command to install them is printed; exit 2."""
    code = (
        "import sys, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'starlette' else find(name, *rest)\n"
        "from finetune_guard.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command], capture_output=True, text=True, check=False, timeout=60
    )
    assert 2 == done.returncode
    assert "" == done.stdout
    assert "Error: This needs the extra simulator: pip install 'finetune-guard[simulator]'\n" == done.stderr
