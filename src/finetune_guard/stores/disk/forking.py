"""What keeps SQLite still while the process forks.

SQLite has locks for the whole process. A child that is forked while another thread holds one inherits it
as it is, and waits for ever when it opens its first database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ForkGate:
    """Lets a thread that is about to fork wait for the others, and them for it."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget who held or awaited what: in a child, where those threads are not."""
        # Re-entrant: a garbage collection may close one connection while another is being closed.
        self._closing = threading.RLock()
        self._over = threading.Event()
        self._over.set()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Let no fork happen inside: for what is closed by the garbage collection, known to nobody else."""
        with self._closing:
            yield

    def give_way(self, timeout: float) -> None:
        """Begin nothing while a thread waits to fork, at most ``timeout`` seconds long."""
        if not self._over.is_set():
            self._over.wait(timeout)

    def announce(self) -> None:
        """Ask all threads to begin nothing more."""
        self._over.clear()

    def enter(self, timeout: float) -> bool:
        """Wait until nothing is being closed; return whether that took less than ``timeout`` seconds."""
        return self._closing.acquire(timeout=timeout)

    def leave(self, entered: bool) -> None:
        """Let everyone go on, in the parent."""
        if entered:
            self._closing.release()
        self._over.set()


calm = ForkGate()
"""That of the process."""
