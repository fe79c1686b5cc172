"""Histories on disk that are damaged, or tampered with by an attacker.

The store's own tests show that nothing is executed, followed or lost. Here the other half is shown:
whatever was done to the folder, a hundred inferences out of a hundred succeed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import sqlite3
from contextlib import closing as closed
from pathlib import Path

import pytest

from finetune_guard.stores.keys import key
from tests.client.both_ways import done
from tests.support.constants import MESSAGES

pytestmark = pytest.mark.anyio

EVIDENCE, SALT = key("evidence", "acme-28gund"), key("salt")
NOBODY = 65534


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def sql(folder, statement, *values):
    with closed(sqlite3.connect(folder / "cache.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount >= 1


def plant_pickles(folder, outside):
    for row in (EVIDENCE, SALT):
        bomb = pickle.dumps(Bomb(outside / "executed"))
        sql(folder, "UPDATE Cache SET mode = 4, value = ? WHERE key = ?", bomb, row)


def truncate(folder, _):
    os.truncate(folder / "cache.db", 5_000)


def overwrite(folder, _):
    (folder / "cache.db").write_bytes(b"\xff" * 50_000)


def delete(folder, _):
    for path in folder.iterdir():
        path.unlink()


DAMAGES = [plant_pickles, truncate, overwrite, delete]


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    return folder


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


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_all_inferences_succeed(folder, outside, connect, infer, posts, damage):
    """A hundred out of a hundred, nothing is executed, and nothing outside the folder is touched."""
    client = connect(config={"store": folder})
    await done(client.guard.history())
    damage(folder, outside)
    before = posts("/chat/completions")
    for _ in range(100):
        assert (await infer(client)).choices
    await done(client.guard.check())
    await done(client.close())
    assert 100 == posts("/chat/completions") - before
    assert [outside / "precious.txt"] == list(outside.iterdir())
    assert "precious" == (outside / "precious.txt").read_text()


def fill_the_disk(_):
    import resource  # noqa: PLC0415 -- POSIX's

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def lose_the_right_to_write(folder):
    if os.geteuid() != 0:
        folder.chmod(0o500)
        return
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    folder.chmod(0o500)
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def infer_in_child(client, model, folder, limit, results):
    async def run():
        answers = [
            await done(client.chat.completions.create(model=model, messages=MESSAGES)) for _ in range(100)
        ]
        await done(client.close())
        return sum(bool(answer.choices) for answer in answers)

    try:
        limit(folder)
        results.put(asyncio.run(run()))
    except BaseException as error:
        results.put(repr(error))
        raise


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("limit", [fill_the_disk, lose_the_right_to_write], ids=lambda limit: limit.__name__)
async def test_all_inferences_succeed_where_nothing_can_be_written(folder, connect, model, limit):
    """On a full disk, and in a folder that may only be read, a hundred out of a hundred succeed."""
    client = connect(config={"store": folder})
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=infer_in_child, args=(client, model, folder, limit, results))
    child.start()
    outcome = await asyncio.to_thread(results.get)
    child.join()
    folder.chmod(0o700)
    assert 100 == outcome
