"""Fork and exit hooks of the whole package, run in a fixed order.

Nothing else in the package registers hooks with ``os`` or ``atexit``. A module registers with a rank.
Before a fork and at exit, the lowest rank goes first: threads that call the API stop before the
recorder writes, and the recorder writes before the last events are told and the stores close.
After a fork the order is reversed.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

logger = logging.getLogger("finetune_guard")

_FORK_TIMEOUT = 5.0


class Rank(IntEnum):
    """Who goes first before a fork and at exit."""

    BACKGROUND = 1
    RECORDING = 2
    EVENTS = 3
    STORES = 4


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """What a module does when the process forks or ends; each function must return within seconds."""

    before_fork: Callable[[], object] = _nothing
    after_fork_in_parent: Callable[[], object] = _nothing
    after_fork_in_child: Callable[[], object] = _nothing
    at_exit: Callable[[], object] = _nothing


_registered: list[tuple[Rank, Hooks]] = []
_is_installed = False
_fork_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_forking = threading.local()


class ForkLock:
    """A re-entrant lock that a fork waits for, at most five seconds, and that is free in the child."""

    def __init__(self) -> None:
        _install()
        self.inner = threading.RLock()
        _fork_locks.add(self)

    def __enter__(self) -> None:
        self.inner.acquire()

    def __exit__(self, *_: object) -> None:
        self.inner.release()


def register(rank: Rank, hooks: Hooks) -> None:
    """Have ``hooks`` run from now on."""
    with no_fork:
        _registered.append((rank, hooks))
        _registered.sort(key=lambda registered: registered[0])


def finish_in_child(work: Callable[[], object]) -> None:
    """Have a child of multiprocessing's run ``work`` at its end: one that was forked runs no atexit.

    It must be asked for in that child. Several do no harm.
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
    # The imports' lock comes last, since whoever has another one may wait for it.
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
        else:  # a thread holds it that the child does not have
            lock.inner = threading.RLock()
    for _, hooks in reversed(_registered):
        _run(hooks.after_fork_in_child)


def _at_exit() -> None:
    for _, hooks in _registered:
        _run(hooks.at_exit)


def _run(hook: Callable[[], object]) -> None:
    try:
        hook()
    except Exception:
        with suppress(Exception):  # a program's own logging can fail in any way
            logger.warning("A fork or exit hook of finetune-guard failed.", exc_info=True)


no_fork = ForkLock()
"""Held while something is imported: a child that is forked in the middle of an import never sees it end."""
