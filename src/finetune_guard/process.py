"""Fork and exit hooks of the whole package, run in a fixed order.

Nothing else in the package registers hooks with ``os`` or ``atexit``. A module registers with a rank.
Before a fork and at exit, the lowest rank runs first: threads that call the API stop before the recorder
flushes, and the recorder flushes before the last events are delivered and the stores close. After a fork the
order is reversed.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

logger = logging.getLogger("finetune_guard")

_FORK_TIMEOUT = 5.0
_T = TypeVar("_T")


class Rank(IntEnum):
    """The order of hooks before a fork and at exit."""

    BACKGROUND = 1
    RECORDING = 2
    EVENTS = 3
    STORES = 4


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """The hooks of a module for fork and exit; each must return within seconds."""

    before_fork: Callable[[], object] = _nothing
    after_fork_in_parent: Callable[[], object] = _nothing
    after_fork_in_child: Callable[[], object] = _nothing
    at_exit: Callable[[], object] = _nothing


_registered: list[tuple[Rank, Hooks]] = []
_is_installed = False
_fork_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_forking = threading.local()

# Not the shared generator: a program that seeded that one relies on its sequence.
jitter = random.Random()  # noqa: S311 -- no secret
"""Random numbers for pauses; a forked child gets others than its parent."""


class Participants(weakref.WeakSet[_T]):
    """Objects whose methods run at a fork and at exit, one after the other."""

    def call(self, method: Callable[..., object], timeout: float | None = None) -> None:
        """Call ``method`` with each, and with the seconds that are left for all if a ``timeout`` is given."""
        deadline = time.monotonic() + (timeout or 0.0)
        for each in list(self):
            arguments = () if timeout is None else (max(0.0, deadline - time.monotonic()),)
            method(each, *arguments)


class ForkLock:
    """A re-entrant lock. A fork waits for it at most five seconds, and it is free in the child."""

    def __init__(self) -> None:
        _install()
        self.inner = threading.RLock()
        _fork_locks.add(self)

    def __enter__(self) -> None:
        self.inner.acquire()

    def __exit__(self, *_: object) -> None:
        self.inner.release()


def register(rank: Rank, hooks: Hooks) -> None:
    """Register ``hooks`` to run from now on."""
    with no_fork:
        _registered.append((rank, hooks))
        _registered.sort(key=lambda registered: registered[0])


def finish_in_child(work: Callable[[], object]) -> None:
    """Run ``work`` when a multiprocessing child ends, since a forked one runs no ``atexit`` hooks.

    Call it in that child; calling it more than once is harmless.
    """
    child, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if child is not None and util is not None and child.parent_process() is not None:
        util.Finalize(None, work, exitpriority=0)


def _install() -> None:
    """Register with ``os`` and ``atexit``, once."""
    global _is_installed  # noqa: PLW0603 -- the process has one set of hooks
    if _is_installed:
        return
    _is_installed = True
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )


def _before_fork() -> None:
    for _, hooks in _registered:
        _run(hooks.before_fork)
    deadline = time.monotonic() + _FORK_TIMEOUT
    # The import lock comes last, since the holder of another lock may wait for it.
    locks = (*(lock for lock in [*_fork_locks] if lock is not no_fork), no_fork)
    _forking.held = [
        lock for lock in locks if lock.inner.acquire(timeout=max(0.0, deadline - time.monotonic()))
    ]


def _after_fork_in_parent() -> None:
    for lock in _forking.__dict__.pop("held", ()):
        lock.inner.release()
    for _, hooks in reversed(_registered):
        _run(hooks.after_fork_in_parent)


def _after_fork_in_child() -> None:
    held = _forking.__dict__.pop("held", ())
    for lock in [*_fork_locks]:
        if lock in held:
            lock.inner.release()
        else:  # held by a thread that does not exist in the child
            lock.inner = threading.RLock()
    jitter.seed()
    for _, hooks in reversed(_registered):
        _run(hooks.after_fork_in_child)


def _at_exit() -> None:
    for _, hooks in _registered:
        _run(hooks.at_exit)


def _run(hook: Callable[[], object]) -> None:
    try:
        hook()
    except Exception:
        with suppress(Exception):  # a program's logging can raise anything
            logger.warning("A fork or exit hook of finetune-guard failed.", exc_info=True)


no_fork = ForkLock()
"""Held during imports: in a child forked during an import, that import would never finish."""
