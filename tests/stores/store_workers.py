"""What other processes and programs do in the tests: at the top of a module, so that they can import it."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Activity, Inference
from finetune_guard.stores.open import open_store
from tests.support.constants import NOW


def context_of(method):
    """Return what starts processes: ``fork``, or ``fresh`` ones that have nothing of this one."""
    if method == "fork":
        return multiprocessing.get_context(method)
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # A server that has only imported what each would import anyway, which takes most of the time.
    context.set_forkserver_preload(
        [f"finetune_guard.stores.{name}" for name in ("open", "disk.plain_cache", "redis.rows")]
    )
    return context


def answers(location, questions, method="fresh"):
    """Return the store's answer to each question, asked at once, each by a process of its own."""
    context = context_of(method)
    start, results = context.Barrier(len(questions)), context.Queue()
    processes = [context.Process(target=ask, args=(location, asked, start, results)) for asked in questions]
    for process in processes:
        process.start()
    replies = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(timeout=300)
    results.close()
    results.join_thread()
    return replies


class Bomb:
    """Fails the test when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def seen(model, at):
    return Activity(inference=Inference(organization="acme", model=model, at=at), counts={at.date(): 1})


def ask(location, question, start, results):
    """Ask a store something as soon as everyone is ready; tell the answer, or what went wrong."""
    with closing(open_store(location)) as store:
        start.wait()
        try:
            results.put(question(store))
        except StoreError as exc:
            results.put(str(exc))


def record_many(store, worker, times):
    """Record on a model of one's own and on a common one."""
    for step in range(times):
        at = NOW + timedelta(seconds=step, microseconds=worker)
        store.record("acme", [seen(model, at) for model in (f"ft:own:acme::{worker}", "ft:common:acme::c")])


def record_for_ever(location, started):
    """Record until killed."""
    store = open_store(location)
    step = 0
    while True:
        step += 1
        store.record("acme", [seen("ft:common:acme::c", NOW + timedelta(seconds=step))])
        started.set()


def answer_as(user, work):
    """Return what ``work`` says in a forked process of another user, of the group 65534."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def other():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(user)
        try:
            results.put(work())
        except StoreError as exc:
            results.put(str(exc))

    process = context.Process(target=other)
    process.start()
    reply = results.get()
    process.join()
    return reply


def tamper(folder, statement, *values):
    """Change the database behind the store's back."""
    with closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
        connection.execute(statement, values)


def damaged_copies(folder):
    """Return the damaged databases that were set aside."""
    return [path for path in folder.iterdir() if path.name.startswith("cache.db.corrupt-")]


def forked(work):
    """Run ``work`` in a forked child, whose exit code is zero unless it fails; return its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid
