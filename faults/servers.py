"""Faults of a Redis server: stopped, emptied, slow, sending garbage, or failing over."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from afterwards import row_during
from proxy import Proxy
from stage import Stage
from tests.support.redis_server import BINARIES, RedisServer

from table import Row

_DURABLE = ("--appendonly", "yes", "--appendfsync", "always")  # every change is written to disk immediately
_Fault = Callable[[RedisServer, Proxy], AbstractContextManager[None]]


def _row(what: str, make: _Fault, *, kept: bool = True, pace: float = 0.0) -> Callable[[Stage], Row]:
    def fault(stage: Stage) -> Row:
        if not any(map(shutil.which, BINARIES)):
            return Row(what, 0, 0, 0, "not tried: there is no redis-server", caught_up=True)
        tempfile.tempdir = str(stage.folder)  # where the servers write; it is removed afterwards
        with RedisServer(*_DURABLE) as server, Proxy() as proxy:
            proxy.send(f"to {server.port}")
            config = stage.config(f"redis://127.0.0.1:{proxy.port}/0")
            return row_during(stage, lambda: make(server, proxy), what, config=config, kept=kept, pace=pace)

    return fault


@contextmanager
def _stopped(server: RedisServer, _: Proxy) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def _restarted_empty(server: RedisServer, _: Proxy) -> Iterator[None]:
    server.stop()
    shutil.rmtree(server.folder / "appendonlydir")
    server.start()
    yield


def _misbehaving(how: str) -> _Fault:
    @contextmanager
    def fault(_: RedisServer, proxy: Proxy) -> Iterator[None]:
        proxy.send(how)
        yield
        proxy.send("good")

    return fault


@contextmanager
def _replaced(server: RedisServer, proxy: Proxy) -> Iterator[None]:
    # Not stopped here: its history is checked after the fault, and it ends with this process.
    other = RedisServer("--replicaof", "127.0.0.1", str(server.port), *_DURABLE)
    primary, replica = server.client(), other.client()
    _until(lambda: replica.info("replication")["master_link_status"] == "up")
    written = primary.info("replication")["master_repl_offset"]
    _until(lambda: replica.info("replication")["slave_repl_offset"] >= written)
    replica.replicaof("NO", "ONE")
    primary.replicaof("127.0.0.1", other.port)
    yield
    proxy.send(f"to {other.port}")


def _until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("a server does not respond")
        time.sleep(0.02)


FAULTS = {
    "redis-stopped": _row("Redis stopped", _stopped),
    "redis-restarted-empty": _row("Redis restarted, empty", _restarted_empty, kept=False),
    "redis-slow": _row("Redis takes 1 s for each reply", _misbehaving("slow 1"), pace=0.01),
    "redis-silent": _row("Redis never replies", _misbehaving("slow 1000"), pace=0.01),
    "redis-garbage": _row("Redis answers garbage", _misbehaving("garbage")),
    "redis-lossy": _row("Redis does what is asked, and its answers are lost", _misbehaving("lossy")),
    "redis-failover": _row("Redis fails over: READONLY, then another server", _replaced),
}
