"""A real Redis or Valkey server for the tests, without persistence."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from typing_extensions import Self

BINARIES = ("redis-server", "valkey-server")


def binary() -> str:
    """Return the server's program; without one the test is skipped, except where it must not be."""
    for name in BINARIES:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if path is not None:
            return path
    reason = f"neither of {' and '.join(BINARIES)} is on PATH: apt-get install redis-server"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)


def free_port(highest: int = 65_535) -> int:
    with ExitStack() as taken:  # held until one is low enough, so that each is another one
        while True:
            probe = taken.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port <= highest:
                return port


class RedisServer:
    """A server on a loopback port and a socket file; with ``arguments`` as on its command line."""

    def __init__(self, *arguments: str, port: int | None = None, tls: bool = False) -> None:
        self.program = binary()
        self.folder = Path(tempfile.mkdtemp(prefix="fg-redis-"))  # a socket's path must be short
        self.port = port or free_port()
        self.socket = self.folder / "redis.sock"
        self.arguments = (
            *("--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no"),
            *("--port", "0" if tls else str(self.port), "--unixsocket", str(self.socket)),
            *(("--tls-port", str(self.port)) if tls else ()),
            *("--save", "", "--appendonly", "no", "--databases", "16"),
            *arguments,
        )
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options) -> redis.Redis:
        """Return a Redis client of the server."""
        return redis.Redis(unix_socket_path=str(self.socket), **options)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *self.arguments], stdout=log, stderr=log)
        while not self.answers():
            if self.process.poll() is not None:
                pytest.fail(f"the server did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)
