"""A history on a Redis server that stops, forgets, takes its time, talks nonsense or changes places."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from afterwards import compared
from proxy import Proxy
from stage import Stage
from typing_extensions import Self

from table import Row

_START_SECONDS = 30.0
_BINARY = shutil.which("redis-server") or shutil.which("valkey-server") or ""


class _Server:
    """A server that writes down every change at once, in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self._arguments = folder, arguments
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, with what it has written down; return when it answers."""
        self.folder.mkdir(exist_ok=True)
        program = [_BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        program += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", *self._arguments]
        self._process = subprocess.Popen(program, stdout=subprocess.DEVNULL)
        self.until(lambda server: server.ping())

    def stop(self) -> None:
        """Stop it, as a machine that loses its power does."""
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Delete what it has written down."""
        shutil.rmtree(self.folder)

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask it something, as an administrator would."""
        import redis  # noqa: PLC0415 -- an extra

        with redis.Redis(port=self.port, socket_timeout=5) as client:
            return question(client)

    def until(self, question: Callable[[Any], Any]) -> None:
        """Ask it again and again until it says yes."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if self.ask(question):
                    return
            except OSError:
                pass
            except Exception as error:
                if type(error).__module__.partition(".")[0] != "redis":
                    raise
            time.sleep(0.02)
        raise TimeoutError(f"the server on port {self.port} does not come round")


_Fault = Callable[[_Server, Proxy], AbstractContextManager[None]]


def _row(what: str, make: _Fault, *, kept: bool = True, pace: float = 0.0) -> Callable[[Stage], Row]:
    def fault(stage: Stage) -> Row:
        if not _BINARY:
            return Row(what, 0, 0, 0, "not tried: there is no redis-server", caught_up=True)
        with _Server(stage.folder / "first") as server, Proxy() as proxy:
            proxy.obey(f"to {server.port}")
            config = stage.config(f"redis://127.0.0.1:{proxy.port}/0")
            return compared(stage, lambda: make(server, proxy), what, config=config, kept=kept, pace=pace)

    return fault


@contextmanager
def _stopped(server: _Server, _: Proxy) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def _restarted_empty(server: _Server, _: Proxy) -> Iterator[None]:
    server.stop()
    server.forget()
    server.start()
    yield


def _misbehaving(how: str) -> _Fault:
    @contextmanager
    def fault(_: _Server, proxy: Proxy) -> Iterator[None]:
        proxy.obey(how)
        yield
        proxy.obey("good")

    return fault


@contextmanager
def _replaced(server: _Server, proxy: Proxy) -> Iterator[None]:
    # Whoever ends this process ends the other server, too: its history is looked at after the fault.
    other = _Server(server.folder.with_name("second"), "--replicaof", "127.0.0.1", str(server.port))
    other.start()
    other.until(lambda replica: replica.info("replication")["master_link_status"] == "up")
    written = server.ask(lambda primary: primary.info("replication")["master_repl_offset"])
    other.until(lambda replica: replica.info("replication")["slave_repl_offset"] >= written)
    other.ask(lambda replica: replica.replicaof("NO", "ONE"))
    server.ask(lambda primary: primary.replicaof("127.0.0.1", other.port))
    yield
    proxy.obey(f"to {other.port}")


FAULTS = {
    "redis-stopped": _row("Redis stopped", _stopped),
    "redis-restarted-empty": _row("Redis restarted, empty", _restarted_empty, kept=False),
    "redis-slow": _row("Redis takes 1 s for each reply", _misbehaving("slow 1"), pace=0.01),
    "redis-silent": _row("Redis never replies", _misbehaving("slow 1000"), pace=0.01),
    "redis-garbage": _row("Redis answers garbage", _misbehaving("garbage")),
    "redis-lossy": _row("Redis does what is asked, and its answers are lost", _misbehaving("lossy")),
    "redis-failover": _row("Redis fails over: READONLY, then another server", _replaced),
}
