"""Deliver events to the program's callback in a separate thread, so that no call waits for it."""

from __future__ import annotations

import contextvars
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial

from finetune_guard import process
from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.events import Event
from finetune_guard.engine import telemetry
from finetune_guard.logs import OnceLog
from finetune_guard.rules.endings import Ending, is_crossed

MAX_PENDING = 1_000
"""How many events may wait for a slow callback; later ones are dropped, which is logged."""

_FORK_TIMEOUT = 1.0
_EXIT_TIMEOUT = 2.0


class Events:
    """Emits the events of one guard. Emitting never raises, never blocks and does no I/O."""

    def __init__(self, callback: Callable[[Event], object] | None) -> None:
        self._delivery = _delivery_to(callback) if callback is not None else None
        self._last_threshold: Bounded[tuple[str, str], int | None] = Bounded(10_000)
        self._once = OnceLog()

    def emit(self, make_event: Callable[[], Event]) -> None:
        """Emit the event that ``make_event`` returns, if anyone listens."""
        if self._delivery is None and telemetry.instruments() is None:
            return
        try:
            event = make_event()
            if self._delivery is not None:
                self._delivery.put(event)
            telemetry.count_event(event)
        except Exception as error:  # noqa: BLE001 -- a failure of ours must not be the program's
            self._once.add(error, "finetune-guard can't deliver an event; calls go on.")

    @property
    def are_pending(self) -> bool:
        """Whether events are still to be delivered."""
        return self._delivery is not None and self._delivery.is_delivering

    def wait_until_delivered(self, timeout: float) -> None:
        """Wait until all events are delivered, at most ``timeout`` seconds."""
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
    """A queue of events, and a daemon thread that runs only while the queue has any."""

    def __init__(self, callback: Callable[[Event], object]) -> None:
        self._callback = callback
        self._once = OnceLog()
        self.reset()
        _deliveries.add(self)

    def reset(self) -> None:
        """Start with an empty queue. After ``fork``, the parent delivers its own events."""
        # Re-entrant: a signal handler may come in the middle, and make_event a call that leads to an event.
        self._changed = threading.Condition(threading.RLock())
        self._pending: deque[Event] = deque()
        self._thread: threading.Thread | None = None
        self._is_stuck = self._finishes_in_child = False

    def put(self, event: Event) -> None:
        """Queue ``event`` for delivery."""
        with self._changed:
            if len(self._pending) >= MAX_PENDING:
                text = "The callback for events is too slow: events are lost from now on."
                self._once.log(logging.ERROR, text)
                return
            self._pending.append(event)
            if self._thread is not None:
                return
            # Without the caller's context variables, which belong to one request of the program.
            run, name = contextvars.Context().run, "finetune-guard-events"
            thread = self._thread = threading.Thread(target=run, args=(self._run,), name=name, daemon=True)
            if not self._finishes_in_child:
                self._finishes_in_child = True
                process.finish_in_child(_at_exit)
        try:
            thread.start()
        except RuntimeError:  # no thread can be started now; the next event tries again
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
            except BaseException as error:  # noqa: BLE001 -- the program's callback can fail in any way
                self._once.add(error, "The callback for events failed; calls go on.")

    @property
    def is_delivering(self) -> bool:
        """Whether an event is queued or being delivered."""
        return self._thread is not None

    def wait_until_delivered(self, timeout: float) -> None:
        """Wait until the queue is empty, at most ``timeout`` seconds; a stuck callback is waited for once."""
        with self._changed:
            if self._thread is None or self._thread is threading.current_thread() or self._is_stuck:
                return
            self._is_stuck = not self._changed.wait_for(lambda: self._thread is None, timeout)


_deliveries = process.Participants[_Delivery]()
_by_callback = weakref.WeakValueDictionary[Callable[[Event], object], _Delivery]()


def _delivery_to(callback: Callable[[Event], object]) -> _Delivery:
    """Return the queue of ``callback``, shared by all guards with it. A stuck callback blocks one thread."""
    try:
        return _by_callback.get(callback) or _by_callback.setdefault(callback, _Delivery(callback))
    except TypeError:  # not hashable
        return _Delivery(callback)


wait_until_all_delivered = partial(_deliveries.call, _Delivery.wait_until_delivered)
_at_exit = partial(wait_until_all_delivered, _EXIT_TIMEOUT)

process.register(
    process.Rank.EVENTS,
    process.Hooks(
        before_fork=partial(wait_until_all_delivered, _FORK_TIMEOUT),
        after_fork_in_child=partial(_deliveries.call, _Delivery.reset),
        at_exit=_at_exit,
    ),
)
