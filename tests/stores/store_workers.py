"""What other processes do in the tests: at the top of a module, so that they can import it."""

from __future__ import annotations

import multiprocessing
import os
from datetime import datetime, timedelta, timezone

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.history import Activity, Inference
from finetune_guard.stores.open import open_store

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)


def context_of(method):
    """Return what starts processes: ``fork``, or ``fresh`` ones that have nothing of this one."""
    if method == "fork":
        return multiprocessing.get_context(method)
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # A server that has only imported what each would import anyway, which takes most of the time.
    context.set_forkserver_preload(
        [f"finetune_guard.stores.{name}" for name in ("open", "plain_cache", "redis")]
    )
    return context


def record_many(location, worker, times, results):
    """Record on a model of one's own and on a common one, then tell that all went well."""
    store = open_store(location)
    try:
        for step in range(times):
            at = NOW + timedelta(seconds=step, microseconds=worker)
            store.record(
                "acme",
                [
                    Activity(
                        inference=Inference(organization="acme", model=model, at=at), counts={at.date(): 1}
                    )
                    for model in (f"ft:own:acme::{worker}", "ft:common:acme::c")
                ],
            )
        results.put(None)
    except StoreError as exc:
        results.put(str(exc))
    finally:
        store.close()


def take_leases(location, names, start, results):
    """Try to take every lease as soon as everyone is ready; tell which were taken."""
    store = open_store(location)
    start.wait()
    try:
        results.put([name for name in names if store.lease(name, timedelta(hours=1)) is not None])
    finally:
        store.close()


def take_salt(location, start, results):
    """Ask for the salt as soon as everyone is ready."""
    store = open_store(location)
    start.wait()
    try:
        results.put(store.salt(create=True))
    finally:
        store.close()


def look(location, start, results):
    """Read, as soon as everyone is ready, what is known about acme."""
    store = open_store(location)
    start.wait()
    try:
        results.put(store.evidence("acme").last_inference)
    finally:
        store.close()


def record_for_ever(location, started):
    """Record until killed."""
    store = open_store(location)
    step = 0
    while True:
        step += 1
        at = NOW + timedelta(seconds=step)
        inference = Inference(organization="acme", model="ft:common:acme::c", at=at)
        store.record("acme", [Activity(inference=inference, counts={NOW.date(): 1})])
        started.set()


def as_nobody(work, results, user=65534):
    """Run ``work`` as a user whom file modes bind, and tell what came out."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(user)
    try:
        results.put(work())
    except StoreError as exc:
        results.put(str(exc))


def hold_lease(location, name, ttl, held, give_back, done):
    """Take a lease, tell so, and give it back when told to."""
    store = open_store(location)
    lease = store.lease(name, ttl)
    held.set()
    give_back.wait()
    store.release(lease)
    done.set()
    store.close()
