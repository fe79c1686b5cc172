"""The simulator for people: in the foreground, until it is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from types import FrameType

from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.server import Simulator


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    now: datetime | None = None,
    speed: float = 1.0,
    policy: AccessPolicy = OPENAI_SELF_SERVE,
    models: Iterable[str] = (),
    admin_key: str | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; prints nothing.

    Whoever reaches the address can turn the clock and ask for faults: ``/_simulator`` needs no key.

    Args:
        host: The address to listen on.
        port: The TCP port; 0 for any free one.
        now: The simulated time to begin with; the real time when left out.
        speed: Simulated seconds for one real second; 0 for a clock that only moves when turned.
        policy: The rules to enforce.
        models: Fine-tuned models that the default organization owns: their ids, or base models.
        admin_key: The default organization's admin key; it has none when left out.
        on_ready: Called once with the base URL when calls are answered.

    Raises:
        OSError: The port can't be had.
        ValueError: ``speed`` is negative, ``now`` has no time zone, ``admin_key`` is empty or taken, or
            the caller is not the main thread, which alone receives signals.
    """
    clock = SimulatedClock(now, running=speed != 0, speed=speed or 1.0)
    interrupted = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Simulator(
            clock=clock, policy=policy, port=port, interface=host, models=models, admin_key=admin_key
        ) as simulator:
            if on_ready is not None:
                on_ready(simulator.base_url)
            # Waiting without an end can't be interrupted on Windows.
            while not interrupted.wait(0.5):
                pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
