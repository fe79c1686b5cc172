from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis

from finetune_guard.domain.facts import Activity, Inference, Source
from finetune_guard.stores.base import Store
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.stores.open import open_store
from finetune_guard.stores.redis.store import RedisStore
from tests.support.constants import NOW
from tests.support.lossy_proxy import LossyProxy
from tests.support.redis_server import RedisServer


@dataclass(frozen=True)
class Place:
    """Where a store of one kind is."""

    open: Callable[[], Store]  # each time a new object where stores of that kind are shared
    location: str | None  # what another process opens it by; None when it can't


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "guard"


@pytest.fixture
def disk(folder: Path) -> Iterator[DiskStore]:
    store = DiskStore(folder)
    store.read_patience = store.write_patience = timedelta(seconds=0.3)
    yield store
    store.close()


@pytest.fixture
def filled(disk: DiskStore, activity: Callable[..., Activity]) -> DiskStore:
    """A store on disk with a row of most kinds, closed."""
    disk.record("acme", [activity()])
    disk.link("key:1", "acme")
    disk.salt(create=True)
    disk.lease("keep-alive", timedelta(hours=1))
    disk.close()
    return disk


@pytest.fixture
def outside_file(tmp_path: Path) -> Path:
    """A file beside the store that must stay untouched."""
    path = tmp_path / "precious.txt"
    path.write_text('1:"acme"')
    return path


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """A place of the test's own on the server."""
    return f"{redis_server.url}?prefix={uuid.uuid4().hex}"


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """An administrator's connection to the server."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def prefix(redis_url: str) -> str:
    """What the names of the test's own keys begin with."""
    return f"{{{redis_url.rpartition('=')[2]}}}:"


@pytest.fixture
def redis_store(redis_url: str) -> Iterator[RedisStore]:
    store = RedisStore(redis_url)
    yield store
    store.close()


@pytest.fixture
def lossy(redis_server: RedisServer) -> Iterator[LossyProxy]:
    """Stands before the server and can be told to lose what is sent or answered."""
    with LossyProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def lossy_url(redis_url: str, redis_server: RedisServer, lossy: LossyProxy) -> str:
    """The same place as ``redis_url``, by way of ``lossy``."""
    return redis_url.replace(str(redis_server.port), str(lossy.port))


@pytest.fixture
def lossy_store(lossy_url: str) -> Iterator[RedisStore]:
    store = RedisStore(lossy_url)
    yield store
    store.close()


@pytest.fixture(params=["memory", "disk", "redis"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request) as place_found:
        yield place_found


@pytest.fixture(params=["disk", "redis"])
def shared_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place that other processes can open, too."""
    with place_of(request) as place_found:
        yield place_found


@contextmanager
def place_of(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        memory = MemoryStore()
        yield Place(open=lambda: memory, location=None)
        return
    location = str(request.getfixturevalue("folder" if request.param == "disk" else "redis_url"))
    opened: list[Store] = []

    def open_another() -> Store:
        opened.append(open_store(location))
        return opened[-1]

    yield Place(open=open_another, location=location)
    for store in opened:
        store.close()


@pytest.fixture
def store(place: Place) -> Store:
    return place.open()


@pytest.fixture
def activity() -> Callable[..., Activity]:
    def make(
        model: str = "ft:gpt-4o-mini:acme::1",
        *,
        at: datetime = NOW,
        count: int = 1,
        source: Source = Source.OBSERVED,
    ) -> Activity:
        return Activity(
            inference=Inference(organization="whoever", model=model, at=at, source=source),
            counts={at.date(): count} if count else {},
        )

    return make
