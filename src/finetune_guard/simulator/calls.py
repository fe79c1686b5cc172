"""Which calls were served: enough to prove what a client did, and nothing of what it said."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ServedCall(BaseModel):
    """One call that the simulated API has answered.

    Attributes:
        method: The HTTP method.
        path: The path, with ``/v1``, without the query.
        organization: The slug of the organization whose key was used; None for an unknown key.
        model: The model that the call named; None for calls that name none.
        status: The HTTP status of the answer.
        at: The simulated time.
        stream: Whether the answer was a stream of server-sent events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    path: str
    organization: str | None
    model: str | None
    status: int
    at: datetime
    stream: bool


MOST_CALLS = 100_000


class CallLog:
    """The latest served calls, in order; so many that only a server of days forgets. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[ServedCall] = deque(maxlen=MOST_CALLS)

    def add(self, call: ServedCall) -> None:
        """Note one call."""
        with self._lock:
            self._calls.append(call)

    def clear(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()

    @property
    def calls(self) -> tuple[ServedCall, ...]:
        """The calls so far."""
        with self._lock:
            return tuple(self._calls)
