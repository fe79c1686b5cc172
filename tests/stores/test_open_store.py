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


def test_disk_is_the_users_state_folder():
    """Without a folder of one's own, histories are where the platform keeps the state of programs."""
    store = open_store("disk")

    assert isinstance(store, DiskStore)
    assert platformdirs.user_state_dir("finetune-guard", appauthor=False) == store.location


@pytest.fixture
def nobody(monkeypatch):
    """A user without a home folder and without an entry in the system's list of users."""
    for name in ("HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    _homeless_store.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="homes are found in another way")
@pytest.mark.parametrize("location", ["disk", "~", "~/guard", Path("~/guard")], ids=str)
def test_without_a_home_the_history_is_in_memory(nobody, tmp_path, activity, caplog, location):
    """Where no home folder is known all clients share one memory; it is said once, and no folder is made."""
    stores = [open_store(location) for _ in range(3)]
    stores[0].record("acme", [activity()])
    assert [] == caplog.messages

    assert ("acme",) == stores[1].organizations()
    assert ("acme",) == stores[2].organizations()
    assert stores[0].place == stores[2].place
    assert [] == list(tmp_path.iterdir())
    (said,) = caplog.messages
    assert "FINETUNE_GUARD_STORE" in said


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME"])
def test_a_relative_variable_makes_no_folder(monkeypatch, tmp_path, variable):
    """Where variables name no absolute folder, nothing is meant in whatever folder a program runs in."""
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
def test_an_old_platformdirs_stops_nobody(monkeypatch, contents):
    """A release of platformdirs that knows no absolute state folder is as good as a system without one."""
    old = types.ModuleType("platformdirs")
    vars(old).update(contents)
    monkeypatch.setitem(sys.modules, "platformdirs", old)

    assert isinstance(open_store("disk"), MemoryStore)


def test_opening_on_an_event_loop_asks_the_system_for_nothing(monkeypatch, tmp_path, activity):
    """A relative folder is looked for when it is first used: a loop does not wait for the file system."""

    async def opened():
        with monkeypatch.context() as blocked:
            blocked.setattr(os, "getcwd", lambda: pytest.fail("it was asked for the working directory"))
            store = open_store("./guard")
            assert store.place != open_store("./guard").place
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
def test_a_folder_is_a_folder(tmp_path, location, expected):
    """A folder may be absolute, relative to where the program runs, or in the home folder."""
    if isinstance(location, str):
        location = location.format(here=tmp_path)

    store = open_store(location)

    assert isinstance(store, DiskStore)
    assert os.path.normpath(expected.format(here=tmp_path)) == store.location


def test_a_folder_stays_where_it_was_when_the_program_moves(tmp_path, activity, monkeypatch):
    """A relative folder means the one of when the store was opened; a $ in its name means itself."""
    store = open_store("./$HOME/~guard")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.record("acme", [activity()])
    store.close()

    assert (tmp_path / "$HOME" / "~guard" / "cache.db").is_file()
    assert [] == list((tmp_path / "other").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="a folder in use can't be removed there")
@pytest.mark.parametrize("on_a_loop", [False, True])
def test_a_folder_below_a_directory_that_is_gone_is_made_nowhere_else(
    tmp_path, activity, monkeypatch, on_a_loop
):
    """Every use is an error that says what to set, also once the program is in another directory."""

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


def test_opening_and_reading_touch_nothing(tmp_path):
    """Until something is to be remembered there is no folder and no file."""
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
def test_a_url_is_a_server(location):
    """Redis and Valkey are opened by URL, without anything being connected; no password is shown."""
    store = open_store(location)

    assert isinstance(store, RedisStore)
    assert "secret" not in store.location + repr(store)


@pytest.mark.slow
def test_what_a_server_needs_is_imported_when_it_is_used():
    """Whoever keeps histories elsewhere never imports redis-py, and opening a URL does not either."""
    lines = (
        "import sys",
        "from finetune_guard.stores.open import open_store",
        "open_store('memory'); open_store('disk'); open_store('redis://localhost')",
        "assert 'redis' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_a_missing_redis_py_is_named(monkeypatch):
    """Without the extra, the error says how to install it, and no password."""
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(StoreError, match=r"pip install 'finetune-guard\[redis\]'") as caught:
        open_store("redis://user:secret@host/0")
    assert "secret" not in str(caught.value)


def test_a_broken_redis_py_is_named(monkeypatch):
    """One that is there and can't be imported is an error of the store's first use."""
    store = open_store("redis://localhost:1")
    for name in ("rows", "faults"):
        monkeypatch.delitem(sys.modules, f"finetune_guard.stores.redis.{name}", raising=False)
        monkeypatch.delattr(f"finetune_guard.stores.redis.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(StoreError, match=r"finetune-guard\[redis\]") as caught:
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
def test_anything_else_is_refused(location):
    """A value that can't be meant is named, with what is allowed."""
    with pytest.raises(StoreError, match="is not a store") as caught:
        open_store(location)
    assert "secret" not in str(caught.value)
    assert '"disk"' in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_python_without_sqlite_says_so(monkeypatch):
    """Where SQLite is missing, the error names what to use instead."""
    monkeypatch.delitem(sys.modules, "finetune_guard.stores.disk.store", raising=False)
    monkeypatch.setitem(sys.modules, "finetune_guard.stores.disk.database", None)

    with pytest.raises(StoreError, match="FINETUNE_GUARD_STORE to memory"):
        open_store("disk")
