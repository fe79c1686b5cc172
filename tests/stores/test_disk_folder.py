"""Whose folder a stored history is in, and who can read it."""

from __future__ import annotations

import multiprocessing
import os
import stat
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.disk.store import DiskStore
from tests.stores.store_workers import as_nobody

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
needs_root = pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root gives files away")


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def refused(store, activity, says):
    for call in (
        lambda: store.evidence("acme"),
        store.organizations,
        lambda: store.record("acme", [activity()]),
        lambda: store.salt(create=True),
        lambda: store.lease("keep-alive", HOUR),
    ):
        with pytest.raises(StoreError, match=says) as caught:
            call()
        assert "FINETUNE_GUARD_STORE" in caught.value.remedy
        assert caught.value.remedy in str(caught.value)


@pytest.fixture
def umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_only_the_owner_can_read_a_history(disk, folder, activity, umask):
    """Folders are made with mode 0700 and files with 0600, whatever the umask."""
    disk.record("acme", [activity()])

    assert {0o700} == {mode(folder), mode(folder.parent)}
    assert {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600} == {
        path.name: mode(path) for path in folder.iterdir()
    }


def test_a_readable_file_is_closed_to_others(disk, folder, activity):
    """A database that was copied there with a wider mode gets its own again."""
    disk.record("acme", [activity()])
    disk.close()
    (folder / "cache.db").chmod(0o644)

    assert ("acme",) == disk.organizations()
    assert 0o600 == mode(folder / "cache.db")


def test_an_existing_folder_of_ones_own_is_used_as_it_is(disk, folder, activity):
    """A folder that others may list, but not change, is fine; its mode is its owner's matter."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "other.txt").write_text("mine")
    disk.record("acme", [activity()])

    assert 0o755 == mode(folder)
    assert "mine" == (folder / "other.txt").read_text()


@pytest.mark.parametrize("wide", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write_is_refused(disk, folder, activity, wide):
    """Where others can write, what is read may be theirs: the message gives the command that ends it."""
    folder.mkdir(parents=True)
    folder.chmod(wide)
    (folder / "cache.db").touch()

    refused(disk, activity, "chmod 700")
    assert 0 == (folder / "cache.db").stat().st_size


def test_a_file_that_others_can_write_is_refused(disk, folder, activity):
    """The same goes for the database itself."""
    folder.mkdir(parents=True)
    (folder / "cache.db").touch()
    (folder / "cache.db").chmod(0o666)

    refused(disk, activity, "chmod 600")


@needs_root
@pytest.mark.parametrize("name", ["", "cache.db", "cache.db-wal"])
def test_what_belongs_to_someone_else_is_refused(disk, folder, activity, name):
    """A folder or database of another user is neither read nor written, also by root."""
    disk.record("acme", [activity()])
    disk.close()
    (folder / name).touch()
    os.chown(folder / name, 65534, 65534)

    refused(disk, activity, "another user")


@needs_root
def test_a_link_to_someone_elses_folder_is_refused(tmp_path, activity):
    """A link leads to the same refusal as the folder itself."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65534, 65534)
    (tmp_path / "link").symlink_to(theirs)

    with closing(DiskStore(tmp_path / "link")) as store:
        (theirs / "cache.db").touch()
        refused(store, activity, "another user")
    assert ["cache.db"] == [path.name for path in theirs.iterdir()]


@needs_root
def test_a_link_that_someone_else_made_is_refused(tmp_path, activity):
    """Nobody else decides which of one's own folders is used."""
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    os.chown(tmp_path / "link", 65534, 65534, follow_symlinks=False)

    with closing(DiskStore(tmp_path / "link")) as store:
        refused(store, activity, "a link that another user made")
    assert [] == list((tmp_path / "mine").iterdir())


def test_a_link_to_ones_own_folder_is_followed(tmp_path, activity):
    """A state folder on another disk is common; both names mean one history."""
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "mine")

    with closing(DiskStore(tmp_path / "link")) as link, closing(DiskStore(tmp_path / "mine")) as mine:
        link.record("acme", [activity()])
        assert ("acme",) == mine.organizations()
        assert link._opened is mine._opened


@pytest.mark.parametrize("name", ["cache.db", "cache.db-wal", "cache.db-shm", "set-aside.lock"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_a_database_that_is_no_plain_file_is_refused(disk, tmp_path, activity, name, kind):
    """Links, pipes and folders in the place of the database's files are neither followed nor waited for."""
    folder, precious = tmp_path / "state" / "guard", tmp_path / "precious"
    precious.write_text("mine")
    disk.record("acme", [activity()])
    disk.close()
    (folder / name).unlink(missing_ok=True)
    {
        "link": lambda: (folder / name).symlink_to(precious),
        "dangling link": lambda: (folder / name).symlink_to(tmp_path / "new"),
        "pipe": lambda: os.mkfifo(folder / name, 0o600),
        "folder": (folder / name).mkdir,
    }[kind]()

    if (name, kind) == ("cache.db", "dangling link"):
        assert () == disk.organizations()  # as if there were none; and none is made
        with pytest.raises(StoreError, match="not a plain file"):
            disk.record("acme", [activity()])
    else:
        refused(disk, activity, "not a plain file")
    assert "mine" == precious.read_text()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("where", ["itself", "above"])
def test_a_file_in_the_folders_place_is_refused(disk, folder, activity, where):
    """A file where the folder should be, or one above it, is named."""
    place = folder if where == "itself" else folder.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file")

    refused(disk, activity, "not a folder")
    assert "a file" == place.read_text()


def test_an_impossible_folder_is_refused(tmp_path, activity):
    """A link that leads to itself, or a name that no folder has, is an error of the store's own kind."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for location in (tmp_path / "loop", tmp_path / ("x" * 300), f"{tmp_path}/a\0b"):
        store = DiskStore(location)
        with pytest.raises(StoreError):
            store.record("acme", [activity()])


@needs_root
def test_a_read_only_folder_is_read(folder, activity):
    """Where nothing may be written the history is still read, and writing says what to do."""
    with closing(DiskStore(folder)) as store:
        store.record("acme", [activity()])
    folder.parent.parent.chmod(0o755)
    for path in (folder.parent, folder, folder / "cache.db"):
        os.chown(path, 65534, 65534)
    for path in folder.parents:
        path.chmod(path.stat().st_mode | 0o011)
    (folder / "cache.db").chmod(0o400)
    folder.chmod(0o500)

    def work():
        with closing(DiskStore(folder)) as store:
            found = store.evidence("acme").last_inference, store.organizations(), store.history("acme")
            try:
                store.record("acme", [activity()])
            except StoreError as exc:
                return (*found, str(exc))

    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=as_nobody, args=(work, results))
    process.start()
    last, names, history, error = results.get()
    process.join()

    assert NOW == last.at
    assert ("acme",) == names
    assert last == history.last_inference
    assert "Make the folder writable" in error


@needs_root
def test_a_folder_that_cannot_be_made_says_so(tmp_path, activity):
    """Where no folder may be made, reading finds nothing and writing says what to do."""
    (tmp_path / "closed").mkdir(mode=0o755)
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o011)

    def work():
        with closing(DiskStore(tmp_path / "closed" / "guard")) as store:
            assert () == store.organizations()
            store.record("acme", [activity()])

    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=as_nobody, args=(work, results))
    process.start()
    error = results.get()
    process.join()

    assert "Make the folder writable" in error
    assert "FINETUNE_GUARD_STORE" in error
