"""The local server of ``faults/`` in a process of its own: chat completions, at once or as a stream.

It answers every request with the same, so that as much as possible of a call's time is the client's.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(__file__).resolve().parent.parent / "faults" / "server.py"


@contextmanager
def serving() -> Iterator[str]:
    """Run the server; yield its base URL."""
    command = [sys.executable, str(SERVER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()
