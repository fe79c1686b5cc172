"""Histories on disk that are damaged, or tampered with by an attacker."""

from __future__ import annotations

import pytest

from tests.client.both_ways import done

pytestmark = pytest.mark.anyio


def overwrite(folder):
    (folder / "cache.db").write_bytes(b"\xff" * 50_000)


def delete(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
async def folder(tmp_path, connect, infer):
    """A folder with a history in it, which nobody has open."""
    location = tmp_path / "history"
    client = connect(config={"store": location})
    await infer(client)
    await done(client.guard.flush())
    client.guard.config.open_store().close()
    await done(client.close())
    return location


@pytest.mark.parametrize("damage", [overwrite, delete], ids=lambda damage: damage.__name__)
async def test_inferences_succeed_with_a_damaged_or_hostile_folder(folder, connect, infer, posts, damage):
    client = connect(config={"store": folder})
    await done(client.guard.history())
    damage(folder)
    before = posts("/chat/completions")
    for _ in range(100):
        assert (await infer(client)).choices
    await done(client.guard.check())
    await done(client.close())
    assert 100 == posts("/chat/completions") - before
