"""What happens when the files beside a stored history are cut, overwritten or deleted while it is open."""

from __future__ import annotations

import multiprocessing
from contextlib import closing

import pytest

from finetune_guard.domain.facts import Source
from finetune_guard.stores.disk.store import DiskStore
from tests.support.constants import NOW

ALL = ("cache.db", "cache.db-shm", "cache.db-wal")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="files in use can't be changed here"
    ),
]


def harm(folder, names, content):
    for name in names:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)


def after_harm(folder, activity, names, content, then):
    """Use a store while its files are harmed, in a process that SIGBUS could end; return its exit code."""

    def work():
        store = DiskStore(folder)
        store.record("acme", [activity()])
        store.evidence("acme")
        harm(folder, names, content)
        for step in then:
            {
                "evidence": lambda: store.evidence("acme"),
                "record": lambda: store.record("acme", [activity()]),
                "close": store.close,
            }[step]()

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


@pytest.mark.parametrize("names", [("cache.db-shm",), ("cache.db-wal",), ALL[1:], ALL], ids=" ".join)
@pytest.mark.parametrize(
    "content", [b"", b"garbage" * 1000, b"garbage" * 10_000, None], ids=["cut", "short", "long", "deleted"]
)
@pytest.mark.parametrize(
    "then",
    [("evidence", "record", "evidence"), ("record", "close"), ("close", "record"), ("close",)],
    ids=" ".join,
)
def test_the_process_lives_on(folder, activity, names, content, then):
    """Cut, overwritten or deleted files end nobody's program, raise nothing, and leave a usable store."""
    assert 0 == after_harm(folder, activity, names, content, then)
    with closing(DiskStore(folder)) as store:
        store.record("umbrella", [activity()])
        assert "umbrella" in store.organizations()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cache.db-shm", b""),
        ("cache.db-shm", b"garbage" * 1000),
        ("cache.db-shm", b"garbage" * 10_000),
        ("cache.db-shm", None),
        ("cache.db-wal", None),
    ],
)
def test_a_lost_index_or_log_costs_nothing(folder, activity, name, content):
    """The index is made anew from the log, and what is in a deleted log is still written."""
    assert 0 == after_harm(folder, activity, [name], content, ["record", "close"])
    with closing(DiskStore(folder)) as store:
        assert {NOW.date(): {Source.OBSERVED: 2}} == store.history("acme").daily
