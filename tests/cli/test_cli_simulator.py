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
        if "Ctrl-C stops it" in line:
            break
    return "".join(lines)


def exports(text):
    return dict(re.findall(r"^ +export (\w+)=(\S+)$", text, re.MULTILINE))


@POSIX_ONLY
@pytest.mark.slow
def test_printed_instructions_work(start):
    process = start("simulator", "--port", "0", "--now", "2026-08-03", "--speed", "0", "--admin-key")
    text = instructions(process)
    variables = exports(text)
    model = re.search(r"^ +(ft:\S+)$", text, re.MULTILINE)[1]
    environment = {**os.environ, **variables}

    def printed_by(*command, code=0):
        started = start(*command, env=environment)
        out, _ = started.communicate(timeout=300)
        assert code == started.returncode
        return out

    example = subprocess.run(
        [sys.executable, EXAMPLE, model], env=environment, capture_output=True, text=True, check=True
    )
    assert "simulated answer" in example.stdout
    assert "until 2026-10-02 00:00 UTC" in printed_by("check")
    assert model in printed_by("sync")  # by the admin key
    turn = re.search(r"^ +curl -d '(.*)' (\S+)$", text, re.MULTILINE)
    with urllib.request.urlopen(turn[2], turn[1].encode(), timeout=300) as answer:
        assert "2026-10-03T00:00:00+00:00" == json.load(answer)["now"]
    printed_by("check", code=4)

    process.send_signal(signal.SIGINT)
    assert ("Stopped.\n", "", 0) == (*process.communicate(timeout=300), process.returncode)
    assert not Path(variables["FINETUNE_GUARD_STORE"]).parent.exists()
    assert "FINETUNE_GUARD_ADMIN_API_KEY" not in exports(instructions(start("simulator", "--port", "0")))


def test_taken_port_exits_2(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("simulator", "--port", str(taken.getsockname()[1]))
    assert (2, "", True) == (result.exit_code, result.stdout, "--port 0" in result.stderr)
