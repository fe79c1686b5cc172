"""Compares the guard's cost per chat call with that of other libraries that observe calls.

Each library runs in its own process and virtual environment (in the user's cache folder) with the same Python
and the same openai. The processes make their calls in turns.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import platformdirs

from calls import row
from paired import AGAIN, BARE, take_turns
from table import Row, print_rows, serving

CALLS, ROUNDS = 20, 31
OURS = "ours"
PEERS = {
    "langfuse": ("langfuse",),
    "langsmith": ("langsmith",),
    "logfire": ("logfire",),
    "braintrust": ("braintrust",),
    "opentelemetry-instrumentation-openai-v2": (
        "opentelemetry-instrumentation-openai-v2",
        "opentelemetry-sdk",
        "httpx",  # which it imports and neither it nor the newest openai brings along
    ),
    "openinference-instrumentation-openai": ("openinference-instrumentation-openai", "opentelemetry-sdk"),
}
ENVIRONMENTS = Path(platformdirs.user_cache_dir("finetune-guard", appauthor=False), "benchmarks")
WORKER = Path(__file__).with_name("peer.py")


class Worker:
    """A process that makes calls on command."""

    def __init__(self, python: str, name: str, url: str, sink: str) -> None:
        command = [python, str(WORKER), name, url, sink]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout

    def is_ready(self) -> bool:
        """Wait for its first calls; return whether they succeeded."""
        return any(line == "ready\n" for line in self._output)  # some libraries print other lines

    def calls(self, count: int) -> list[float]:
        """Make calls; return the CPU and wall seconds of one call."""
        self._input.write(f"{count}\n")
        self._input.flush()
        return [float(seconds) / count for seconds in self._output.readline().split()]

    def stop(self) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.communicate()


def rows() -> Iterator[Row]:
    """Install the libraries and compare them; report those that don't work."""
    workers: dict[str, Worker] = {}
    versions = dict.fromkeys((BARE, AGAIN, OURS), "")
    with serving() as url, serving() as sink, ExitStack() as running:
        for name in (BARE, AGAIN, OURS, *PEERS):
            try:
                python, versions[name] = _environment(name) if name in PEERS else (sys.executable, "")
            except subprocess.CalledProcessError as error:
                yield Row(
                    f"chat call in place with {name}", f"left out, not installed: {_last(error.stderr)}"
                )
                continue
            worker = Worker(python, name, url, sink)
            running.callback(worker.stop)
            if worker.is_ready():
                workers[name] = worker
            else:
                said = _last(worker.process.communicate()[1])
                yield Row(f"chat call in place with {name} {versions[name]}", f"left out, breaks: {said}")
        found = take_turns(workers, lambda name: workers[name].calls(CALLS), rounds=ROUNDS)
    for name in workers:
        if name not in (BARE, AGAIN):
            yield row(f"chat call in place with {name} {versions[name]}".rstrip(), found, name, None)


def _environment(name: str) -> tuple[str, str]:
    """Return the interpreter of a library's environment, created if needed, and the library's version."""
    place = ENVIRONMENTS / f"{name}-openai-{version('openai')}"
    python = str(place / "bin" / "python")
    if not Path(python).exists():
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(place))
    pinned = f"openai=={version('openai')}"
    _run("uv", "pip", "install", "--quiet", "--python", python, pinned, *PEERS[name])
    asked = f"import importlib.metadata as m; print(m.version({name!r}))"
    return python, _run(python, "-c", asked).strip()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing was said"


if __name__ == "__main__":
    print_rows(rows())
