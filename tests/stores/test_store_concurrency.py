"""What holds when threads, processes and forks use one store at once."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from operator import methodcaller

import pytest

from finetune_guard.domain.facts import Source
from tests.stores.store_workers import answers, context_of, forked, record_for_ever, record_many
from tests.support.constants import HOUR, NOW

METHODS = ["fresh", "fork"] if "fork" in multiprocessing.get_all_start_methods() else ["fresh"]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def child(work):
    """Run ``work`` in a forked child; return whether it came back true."""

    def checked():
        assert work()

    return os.waitpid(forked(checked), 0)[1] == 0


def test_concurrent_threads_lose_no_count(place, activity):
    shared = place.open()

    def work(thread):
        store = shared if thread % 2 else place.open()
        for _ in range(5):
            store.record("acme", [activity(f"ft:own:acme::{thread}"), activity("ft:common:acme::c")])
            assert store.evidence("acme").last_inference is not None

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(work, range(64)))

    history = place.open().history("acme")
    assert 65 == len(history.models)
    assert {NOW.date(): {Source.OBSERVED: 640}} == history.daily


def test_one_of_many_threads_gets_the_lease(place):
    stores = [place.open() for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        leases = list(threads.map(lambda store: store.lease("keep-alive", HOUR), stores))

    assert 1 == sum(lease is not None for lease in leases)


def test_closing_a_store_leaves_other_clients_working(place, activity):
    stop = threading.Event()
    store = place.open()

    def close_often():
        other = place.open()
        while not stop.is_set():
            other.close()
            stop.wait(0.001)

    with ThreadPoolExecutor(1) as thread:
        closing = thread.submit(close_often)
        try:
            for _ in range(30):
                store.record("acme", [activity()])
                assert store.evidence("acme").last_inference is not None
        finally:
            stop.set()
        closing.result()
    assert {Source.OBSERVED: 30} == store.history("acme").daily[NOW.date()]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_processes_starting_at_once_lose_no_count(shared_place, method):
    work = [functools.partial(record_many, worker=worker, times=25) for worker in range(4)]
    assert [None] * 4 == answers(shared_place.location, work, method)

    history = shared_place.open().history("acme")
    assert {Source.OBSERVED: 4 * 25 * 2} == history.daily[NOW.date()]
    latest = history.models["ft:common:acme::c"].at
    assert NOW + timedelta(seconds=24, microseconds=3) == history.last_inference.at == latest
    assert 5 == len(history.models)


@pytest.mark.slow
def test_processes_share_salt_and_records(shared_place, activity):
    assert 1 == len(set(answers(shared_place.location, [methodcaller("salt", create=True)] * 4)))
    store = shared_place.open()
    store.record("acme", [activity()])

    (evidence,) = answers(shared_place.location, [methodcaller("evidence", "acme")])
    assert store.evidence("acme") == evidence


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_process_killed_while_writing_corrupts_nothing(shared_place):
    context = context_of("fresh")
    for _ in range(3):
        started = context.Event()
        process = context.Process(target=record_for_ever, args=(shared_place.location, started))
        process.start()
        assert started.wait(timeout=300)
        process.kill()
        process.join()
        process.close()

    history = shared_place.open().history("acme")
    assert history.last_inference == history.models["ft:common:acme::c"]
    assert history.daily[NOW.date()][Source.OBSERVED] >= 3


@needs_fork
def test_store_works_in_parent_and_child_after_a_fork(place, store, activity):
    store.record("acme", [activity()])
    assert store.lease("keep-alive", HOUR) is not None

    def in_child():
        store.record("acme", [activity("ft:child:acme::1")])
        is_free = store.lease("keep-alive", HOUR) is not None  # nobody would give a memory's back there
        return len(store.history("acme").models) == 2 and is_free == (place.location is None)

    assert child(in_child)
    store.record("acme", [activity("ft:parent:acme::1")])
    models = set(place.open().history("acme").models)
    assert {"ft:gpt-4o-mini:acme::1", "ft:parent:acme::1"} == models - {"ft:child:acme::1"}
    assert (place.location is not None) == ("ft:child:acme::1" in models)


@needs_fork
def test_fork_while_other_threads_write_does_not_hang(place, store, activity):
    stop = threading.Event()

    def write():
        count = 0
        while not stop.is_set():
            store.record("acme", [activity()])
            count += 1
        return count

    with ThreadPoolExecutor(3) as threads:
        written = [threads.submit(write) for _ in range(3)]
        try:
            children = [
                child(lambda: store.record("other", [activity()]) is None and bool(store.organizations()))
                for _ in range(8)
            ]
        finally:
            stop.set()
        counted = sum(future.result() for future in written)

    assert [True] * 8 == children
    assert counted == place.open().history("acme").daily[NOW.date()][Source.OBSERVED]
    if place.location is not None:
        assert {Source.OBSERVED: 8} == place.open().history("other").daily[NOW.date()]


HALVES = ("salt",), ("alert", "acme", "half")


def write_half(change):
    change.read(*HALVES)
    change.write(HALVES[0], "half")


@needs_fork
def test_child_forked_inside_a_write_does_not_undo_it(disk, activity):
    def forking(change):
        write_half(change)
        assert child(lambda: disk.evidence("acme").last_inference is not None)
        change.write(HALVES[1], "whole")

    disk.record("acme", [activity()])
    disk._change("fork", forking)

    assert 2 == len(disk._read("look", lambda rows: rows.read(*HALVES)))


@needs_fork
def test_fork_does_not_wait_for_a_hanging_write(disk, activity, monkeypatch):
    """The child does not end the transaction."""
    monkeypatch.setattr("finetune_guard.process._FORK_TIMEOUT", 0.05)
    disk.record("acme", [activity()])
    writing, forked = threading.Event(), threading.Event()

    def stuck(change):
        write_half(change)
        writing.set()
        forked.wait()
        change.write(HALVES[1], "whole")

    with ThreadPoolExecutor(1) as thread:
        write = thread.submit(disk._change, "wait", stuck)
        writing.wait()
        went_well = child(lambda: disk.evidence("acme").last_inference is not None and gc.collect() >= 0)
        forked.set()
        write.result()

    assert went_well
    assert 2 == len(disk._read("look", lambda rows: rows.read(*HALVES)))
