"""Telling events to the program's own callback, in a thread of its own, so that no call waits for it."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from datetime import datetime

from finetune_guard import process
from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.events import Event
from finetune_guard.engine import telemetry
from finetune_guard.rules.endings import Ending, is_crossed

logger = logging.getLogger("finetune_guard")

MAX_PENDING = 1_000
"""How many events wait for a callback that takes its time; later ones are lost, which is logged."""

_FORK_TIMEOUT = 1.0
_EXIT_TIMEOUT = 2.0


class Events:
    """Where all events of one guard are told. Telling fails never, waits for nothing, and does no I/O."""

    def __init__(self, callback: Callable[[Event], object] | None) -> None:
        self._delivery = _delivery_to(callback) if callback is not None else None
        self._last_threshold: Bounded[tuple[str, str], int | None] = Bounded(10_000)
        self._logged = False

    def emit(self, make_event: Callable[[], Event]) -> None:
        """Tell the event that ``make_event`` returns, if anyone listens."""
        if self._delivery is None and telemetry.instruments() is None:
            return
        try:
            event = make_event()
            if self._delivery is not None:
                self._delivery.put(event)
            telemetry.count_event(event)
        except Exception:
            if not self._logged:
                self._logged = True
                with contextlib.suppress(Exception):  # a program's own logging can fail in any way
                    logger.exception("finetune-guard can't tell an event; calls go on.")

    @property
    def are_pending(self) -> bool:
        """Whether the callback has not been told everything."""
        return self._delivery is not None and self._delivery.is_delivering

    def wait_until_delivered(self, timeout: float) -> None:
        """Wait until the callback has been told everything, at most ``timeout`` seconds."""
        if self._delivery is not None:
            self._delivery.wait_until_delivered(timeout)

    def emit_when_near(
        self, ending: Ending | None, now: datetime, make_event: Callable[[int], Event]
    ) -> None:
        """Emit the event for a threshold of ``ending`` if it was crossed since the last call."""
        if self._delivery is None or ending is None:
            return
        key, threshold = (ending.kind, ending.name), ending.threshold(now)
        before = self._last_threshold.get(key)
        self._last_threshold[key] = threshold
        if threshold is not None and is_crossed(before, threshold):
            self.emit(lambda: make_event(threshold))


class _Delivery:
    """A queue of events, and a daemon thread that is there only while something waits in it."""

    def __init__(self, callback: Callable[[Event], object]) -> None:
        self._callback = callback
        self._logged: set[str] = set()
        self.reset()
        _deliveries.add(self)

    def reset(self) -> None:
        """Begin anew. After ``fork`` what waits in the parent is the parent's to tell."""
        # Re-entrant: a signal handler may come in the middle, and make_event a call that leads to an event.
        self._changed = threading.Condition(threading.RLock())
        self._pending: deque[Event] = deque()
        self._thread: threading.Thread | None = None
        self._is_stuck = self._finishes_in_child = False

    def put(self, event: Event) -> None:
        """Have ``event`` told soon."""
        with self._changed:
            if len(self._pending) >= MAX_PENDING:
                self._complain("full", "The callback for events is too slow: events are lost from now on.")
                return
            self._pending.append(event)
            if self._thread is not None:
                return
            # Without the caller's context variables, which are those of one request of the program's.
            run, name = contextvars.Context().run, "finetune-guard-events"
            thread = self._thread = threading.Thread(target=run, args=(self._run,), name=name, daemon=True)
            if not self._finishes_in_child:
                self._finishes_in_child = True
                process.finish_in_child(wait_until_all_delivered)
        try:
            thread.start()
        except RuntimeError:  # none can be started now; the next event tries again
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._pending:
                    self._thread, self._is_stuck = None, False
                    self._changed.notify_all()
                    return
                event = self._pending.popleft()
            try:
                self._callback(event)
            except BaseException as error:  # noqa: BLE001 -- it is the program's own, and can fail in any way
                text = "".join(traceback.format_exception(error))
                self._complain("failed", "The callback for events failed; calls go on.\n%s", text)

    @property
    def is_delivering(self) -> bool:
        """Whether something waits, or is being told."""
        return self._thread is not None

    def wait_until_delivered(self, timeout: float) -> None:
        """Wait until all is told, at most ``timeout`` seconds; not again for a callback that is stuck."""
        with self._changed:
            if self._thread is None or self._thread is threading.current_thread() or self._is_stuck:
                return
            self._is_stuck = not self._changed.wait_for(lambda: self._thread is None, timeout)

    def _complain(self, subject: str, message: str, *details: object) -> None:
        if subject not in self._logged:
            self._logged.add(subject)
            with contextlib.suppress(Exception):  # a program's own logging can fail in any way
                logger.error(message, *details)


_deliveries: weakref.WeakSet[_Delivery] = weakref.WeakSet()
_by_callback = weakref.WeakValueDictionary[Callable[[Event], object], _Delivery]()


def _delivery_to(callback: Callable[[Event], object]) -> _Delivery:
    """Return what tells ``callback``: one for all guards that have it. A stuck one blocks one thread."""
    try:
        return _by_callback.get(callback) or _by_callback.setdefault(callback, _Delivery(callback))
    except TypeError:  # it can't be the key of a dictionary
        return _Delivery(callback)


def wait_until_all_delivered(timeout: float = _EXIT_TIMEOUT) -> None:
    """Wait until every callback has been told what waits, at most ``timeout`` seconds for all."""
    deadline = time.monotonic() + timeout
    for delivery in list(_deliveries):
        delivery.wait_until_delivered(max(0.0, deadline - time.monotonic()))


def _reset_all() -> None:
    for delivery in list(_deliveries):
        delivery.reset()


process.register(
    process.Rank.EVENTS,
    process.Hooks(
        before_fork=lambda: wait_until_all_delivered(_FORK_TIMEOUT),
        after_fork_in_child=_reset_all,
        at_exit=wait_until_all_delivered,
    ),
)
