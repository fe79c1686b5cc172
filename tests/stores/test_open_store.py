"""From what people write to a store."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import types
from pathlib import Path

import platformdirs
import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.stores.open import _homeless_store, open_store
from finetune_guard.stores.redis.store import RedisStore


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_disk_means_the_platforms_state_folder():
    store = open_store("disk")

    assert isinstance(store, DiskStore)
    assert platformdirs.user_state_dir("finetune-guard", appauthor=False) == store.location


@pytest.fixture
def homeless_user(monkeypatch):
    """A user without a home folder and without an entry in the system's list of users."""
    for name in ("HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    _homeless_store.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="homes are found in another way")
@pytest.mark.parametrize("location", ["disk", "~", "~/guard", Path("~/guard")], ids=str)
def test_without_a_home_folder_clients_share_one_memory_store(
    homeless_user, tmp_path, activity, caplog, location
):
    """It is logged once, and no folder is made."""
    stores = [open_store(location) for _ in range(3)]
    stores[0].record("acme", [activity()])
    assert [] == caplog.messages

    assert ("acme",) == stores[1].organizations()
    assert ("acme",) == stores[2].organizations()
    assert stores[0].identity == stores[2].identity
    assert [] == list(tmp_path.iterdir())
    (message,) = caplog.messages
    assert "FINETUNE_GUARD_STORE" in message


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME"])
def test_relative_state_variable_makes_no_folder(monkeypatch, tmp_path, variable):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv(variable, "relative")

    assert not open_store("disk").location.startswith(str(tmp_path / "relative"))


def no_such_user(*_, **__):
    raise RuntimeError("no such user")


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"user_state_dir": no_such_user},
        {"user_state_dir": lambda *_, **__: "relative/finetune-guard"},
        {"user_state_dir": lambda *_, **__: "~/.local/state/finetune-guard"},
    ],
    ids=["none", "error", "relative", "home"],
)
def test_old_platformdirs_without_a_state_folder_works(monkeypatch, contents):
    old = types.ModuleType("platformdirs")
    vars(old).update(contents)
    monkeypatch.setitem(sys.modules, "platformdirs", old)

    assert isinstance(open_store("disk"), MemoryStore)


def test_opening_a_store_makes_no_system_call(monkeypatch, tmp_path, activity):
    """A relative folder is resolved when it is first used, so a loop does not wait for the file system."""

    async def opened():
        with monkeypatch.context() as blocked:
            blocked.setattr(os, "getcwd", lambda: pytest.fail("it was asked for the working directory"))
            store = open_store("./guard")
            assert store.identity != open_store("./guard").identity
            return store

    store = asyncio.run(opened())
    store.record("acme", [activity()])
    store.close()

    assert str(tmp_path / "guard") == store.location
    assert (tmp_path / "guard" / "cache.db").is_file()


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("./guard", "{here}/guard"),
        (".", "{here}"),
        ("state/guard", "{here}/state/guard"),
        ("{here}/a b/$HOME/ü", "{here}/a b/$HOME/ü"),
        ("~/guard", "{here}/home/guard"),
        (Path("guard"), "{here}/guard"),
        (Path("disk"), "{here}/disk"),
        ("./a:b/c", "{here}/a:b/c"),
        (Path("a:b"), "{here}/a:b"),
    ],
    ids=str,
)
def test_absolute_relative_and_home_folders_are_accepted(tmp_path, location, expected):
    if isinstance(location, str):
        location = location.format(here=tmp_path)

    store = open_store(location)

    assert isinstance(store, DiskStore)
    assert os.path.normpath(expected.format(here=tmp_path)) == store.location


def test_relative_folder_is_bound_to_the_directory_at_opening(tmp_path, activity, monkeypatch):
    """A ``$`` in its name means itself."""
    store = open_store("./$HOME/~guard")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.record("acme", [activity()])
    store.close()

    assert (tmp_path / "$HOME" / "~guard" / "cache.db").is_file()
    assert [] == list((tmp_path / "other").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="a folder in use can't be removed there")
@pytest.mark.parametrize("on_a_loop", [False, True])
def test_relative_folder_of_a_deleted_directory_is_an_error(tmp_path, activity, monkeypatch, on_a_loop):
    """It stays one when the program changes to another directory."""

    async def opened():
        return open_store("./guard")

    (tmp_path / "gone").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    store = asyncio.run(opened()) if on_a_loop else open_store("./guard")
    for use in (lambda: store.evidence("acme"), lambda: store.record("acme", [activity()])):
        with pytest.raises(StoreError, match="absolute path") as caught:
            use()
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        monkeypatch.chdir(tmp_path / "other")
    store.close()

    assert [] == list((tmp_path / "other").iterdir())


def test_opening_and_reading_make_no_folder(tmp_path):
    for location in ("disk", "memory", "./guard"):
        store = open_store(location)
        store.evidence("acme")
        store.history("acme")
        store.organizations()
        store.organization_of("key:1")
        store.salt(create=False)
        store.close()

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "location", ["redis://u:secret@h", "rediss://h", "valkey://h", "unix:///x", "REDIS://h"]
)
def test_redis_and_valkey_urls_open_without_connecting(location):
    store = open_store(location)

    assert isinstance(store, RedisStore)
    assert "secret" not in store.location + repr(store)


@pytest.mark.slow
def test_redis_is_imported_on_first_use():
    lines = (
        "import sys",
        "from finetune_guard.stores.open import open_store",
        "open_store('memory'); open_store('disk'); open_store('redis://localhost')",
        "assert 'redis' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_missing_redis_package_names_the_extra_without_a_password(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(StoreError, match=r"pip install 'finetune-guard\[redis\]'") as caught:
        open_store("redis://user:secret@host/0")
    assert "secret" not in str(caught.value)


def test_broken_redis_package_is_a_store_error_on_first_use(monkeypatch):
    store = open_store("redis://localhost:1")
    for name in ("rows", "faults"):
        monkeypatch.delitem(sys.modules, f"finetune_guard.stores.redis.{name}", raising=False)
        monkeypatch.delattr(f"finetune_guard.stores.redis.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(StoreError, match="pip install --upgrade redis") as caught:
        store.evidence("acme")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "Disk",
        "http://user:secret@host/x",
        "http://user:" + "x" * 70 + "secret@host/x",
        "redsi://host/0?password=secret",
        "redis:/x",
        "redis:user:secret@host/0",
        Path("redis://host/0"),
        "a\0/b",
        "~nobody-here/x",
        "x" * 999,
    ],
)
def test_other_values_are_refused_with_what_is_allowed(location):
    with pytest.raises(StoreError, match="is not a store") as caught:
        open_store(location)
    assert "secret" not in str(caught.value)
    assert '"disk"' in str(caught.value)
    assert len(str(caught.value)) < 500


def test_missing_sqlite_is_named_with_an_alternative(monkeypatch):
    monkeypatch.delitem(sys.modules, "finetune_guard.stores.disk.store", raising=False)
    monkeypatch.setitem(sys.modules, "finetune_guard.stores.disk.database", None)

    with pytest.raises(StoreError, match="FINETUNE_GUARD_STORE to memory"):
        open_store("disk")
