"""Whose folder a stored history is in, and who can read it."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import finetune_guard.stores.disk.plain_cache  # noqa: F401 (other users can't read what is imported)
from finetune_guard.domain.errors import StoreError
from finetune_guard.stores.disk.store import DiskStore
from tests.stores.store_workers import answer_as
from tests.support.constants import NOW

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
needs_root = pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root gives files away")


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def assert_refused(store, activity, says):
    for call in (store.organizations, lambda: store.record("acme", [activity()])):
        with pytest.raises(StoreError, match=says) as caught:
            call()
        assert "FINETUNE_GUARD_STORE" in caught.value.remedy
        assert caught.value.remedy in str(caught.value)


@pytest.fixture
def umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_folder_is_0700_and_files_0600_whatever_the_umask(disk, folder, activity, umask):
    def modes(change):
        change.read(("salt",))
        return {path.name: mode(path) for path in folder.iterdir()}

    files = disk._change("look", modes)
    assert {0o700} == {mode(folder), mode(folder.parent)}
    assert {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600} == files


def test_wider_mode_of_a_database_is_narrowed(disk, folder, activity):
    disk.record("acme", [activity()])
    disk.close()
    (folder / "cache.db").chmod(0o644)

    assert ("acme",) == disk.organizations()
    assert 0o600 == mode(folder / "cache.db")


@pytest.mark.parametrize(
    ("names", "wide", "says"),
    [
        ([""], 0o777, "chmod 700"),  # an empty one would pass for an empty history
        (["cache.db", ""], 0o770, "chmod 700"),
        (["cache.db", ""], 0o1777, "chmod 700"),
        (["cache.db"], 0o666, "chmod 600"),
    ],
)
def test_folder_writable_by_others_is_refused(disk, folder, activity, names, wide, says):
    """The message gives the command that changes it."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    (folder / names[-1]).chmod(wide)

    assert_refused(disk, activity, says)
    assert [0] * names.count("cache.db") == [path.stat().st_size for path in folder.iterdir()]


@needs_root
@pytest.mark.parametrize("name", ["", "cache.db-wal"])
def test_folder_or_database_of_another_user_is_refused(disk, folder, tmp_path, activity, name):
    """Root is refused too, and a link changes nothing."""
    disk.record("acme", [activity()])
    disk.close()
    (folder / name).touch()
    os.chown(folder / name, 65534, 65534)
    (tmp_path / "link").symlink_to(folder)

    assert_refused(disk, activity, "another user")
    with closing(DiskStore(tmp_path / "link")) as store:
        assert_refused(store, activity, "another user")


def volume_of(owner, group, wide, reachable):
    volume = reachable / "volume"
    volume.mkdir()
    os.chown(volume, owner, group)
    volume.chmod(wide)
    return volume


def linked(place, to, *, by=None):
    """Make a link, and give it to another user."""
    place.symlink_to(to)
    if by is not None:
        os.chown(place, by, by, follow_symlinks=False)


@needs_root
@pytest.mark.parametrize("below", [".", "state/guard"], ids=["itself", "above"])
@pytest.mark.parametrize("mode", [0o1777, 0o770])
def test_link_in_a_directory_of_others_is_refused(tmp_path, activity, below, mode):
    (tmp_path / "mine").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    linked(tmp_path / "shared" / "link", tmp_path / "mine", by=65534)

    with closing(DiskStore(tmp_path / "shared" / "link" / below)) as store:
        assert_refused(store, activity, "a link that another user made")
    assert [] == list((tmp_path / "mine").iterdir())


@needs_root
def test_folder_replaced_by_a_link_while_open_is_refused(tmp_path, activity):
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    shared.mkdir()
    shared.chmod(0o777)
    (mine / "guard").mkdir(parents=True, mode=0o700)
    with closing(DiskStore(shared / "state" / "guard")) as store:
        store.record("acme", [activity()])
        (shared / "state").rename(shared / "before")
        linked(shared / "state", mine, by=65534)

        assert_refused(store, activity, "a link that another user made")
        (mine / "guard" / "cache.db").touch()
        assert_refused(store, activity, "a link that another user made")
    assert 0 == (mine / "guard" / "cache.db").stat().st_size


@pytest.mark.parametrize("by", [None, pytest.param(65534, marks=needs_root)])
@pytest.mark.parametrize("target", ["{here}/mine", "mine", "../{name}/mine", "{here}/other/../mine"])
def test_link_only_this_user_or_root_can_have_made_is_followed(tmp_path, activity, target, by):
    for name in ("mine", "other"):
        (tmp_path / name).mkdir(mode=0o700)
    linked(tmp_path / "link", target.format(here=tmp_path, name=tmp_path.name), by=by)
    linked(tmp_path / "outer", "link", by=by)

    link, mine = (DiskStore(tmp_path / name / "guard") for name in ("outer", "mine"))
    link.record("acme", [activity()])

    assert ("acme",) == mine.organizations()


@pytest.fixture
def reachable():
    """A folder that other users get to: pytest's own is closed to them whenever another session begins."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def record_as(user, folder, activity):
    """Record as another user; return what went wrong."""

    def work():
        with closing(DiskStore(folder)) as store:
            store.record("acme", [activity()])
            assert ("acme",) == store.organizations()

    return answer_as(user, work)


@needs_root
@pytest.mark.parametrize("owner", [0, 65534])
@pytest.mark.parametrize("wide", [0o2775, 0o2770])
def test_kubernetes_volume_with_the_pods_group_is_used(reachable, activity, owner, wide):
    """A volume with an fsGroup works at its first mount, at later ones, and for another user of the group."""
    volume = volume_of(owner, 65534, wide, reachable)
    assert record_as(65534, volume, activity) is None
    assert {"cache.db": 0o660} == {path.name: mode(path) for path in volume.iterdir()}
    volume.chmod(0o2770)
    if owner == 0:
        assert record_as(65533, volume, activity) is None
    (volume / "cache.db").chmod(0o664)  # others can't change it, but what can they read
    assert record_as(65534, volume, activity) is None
    assert 0o660 == mode(volume / "cache.db")


@needs_root
@pytest.mark.parametrize(
    ("owner", "group", "wide", "says"),
    [
        (65534, 65534, 0o0770, "to share it with all users of its group: chmod 2770"),
        (0, 65534, 0o2777, "another user"),
        (65534, 1, 0o2770, "other users can write"),
        (0, 1, 0o2775, "another user"),
        (65533, 65534, 0o2770, "another user"),
        (0, 65534, 0o2755, "another user"),
    ],
)
def test_volume_without_setgid_or_of_another_group_is_refused(reachable, activity, owner, group, wide, says):
    volume = volume_of(owner, group, wide, reachable)
    assert says in record_as(65534, volume, activity)
    assert [] == list(volume.iterdir())


@pytest.mark.parametrize("name", ["cache.db", "cache.db-shm", "set-aside.lock"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_database_that_is_a_link_pipe_or_folder_is_refused(
    filled, folder, outside_file, activity, name, kind
):
    place, new = folder / name, folder.parent / "new"
    place.unlink(missing_ok=True)
    {
        "link": lambda: place.symlink_to(outside_file),
        "dangling link": lambda: place.symlink_to(new),
        "pipe": lambda: os.mkfifo(place, 0o600),
        "folder": place.mkdir,
    }[kind]()

    assert_refused(filled, activity, "not a plain file")
    assert '1:"acme"' == outside_file.read_text()
    assert not new.exists()


@pytest.mark.parametrize("where", ["itself", "above"])
def test_file_instead_of_a_folder_is_refused_and_named(disk, folder, activity, where):
    place = folder if where == "itself" else folder.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file")

    assert_refused(disk, activity, "not a folder")
    assert "a file" == place.read_text()


def test_impossible_folder_is_a_store_error(tmp_path, activity):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for location in (tmp_path / "loop", tmp_path / ("x" * 300), f"{tmp_path}/a\0b"):
        store = DiskStore(location)
        with pytest.raises(StoreError):
            store.record("acme", [activity()])


@needs_root
def test_read_only_folder_can_be_read_and_not_written(reachable, activity):
    folder = reachable / "state" / "guard"
    with closing(DiskStore(folder)) as store:
        store.record("acme", [activity()])
    for path in (folder.parent, folder, folder / "cache.db"):
        os.chown(path, 65534, 65534)
    (folder / "cache.db").chmod(0o400)
    folder.chmod(0o500)

    def work():
        with closing(DiskStore(folder)) as store:
            contents = store.evidence("acme").last_inference, store.organizations(), store.history("acme")
            try:
                store.record("acme", [activity()])
            except StoreError as exc:
                return (*contents, str(exc))

    last, names, history, error = answer_as(65534, work)

    assert NOW == last.at
    assert ("acme",) == names
    assert last == history.last_inference
    assert "Make the folder writable" in error
