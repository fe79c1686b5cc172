"""Runs the simulator in the foreground until it is interrupted."""

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
    """Serve until Ctrl-C, SIGTERM or the end of the terminal; prints nothing.

    Everyone who can reach the address can set the clock and add faults: ``/_simulator`` needs no key.

    Args:
        host: The address to listen on.
        port: The TCP port; 0 for any free one.
        now: The initial simulated time; the real time if omitted.
        speed: Simulated seconds per real second; 0 for a clock that only moves when it is set.
        policy: The rules to enforce.
        models: Fine-tuned models that the default organization owns: their ids, or base models.
        admin_key: The default organization's admin key; omitted, it has none.
        on_ready: Called once with the base URL when the server is ready.

    Raises:
        OSError: The port is not available.
        ValueError: ``speed`` is negative, ``now`` has no time zone, ``admin_key`` is empty or taken, or
            this is not the main thread, the only one that receives signals.
    """
    clock = SimulatedClock(now, running=speed != 0, speed=speed or 1.0)
    interrupted = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()

    endings = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        endings.append(signal.SIGHUP)
    previous = {number: signal.signal(number, interrupt) for number in endings}
    try:
        with Simulator(
            clock=clock, policy=policy, port=port, interface=host, models=models, admin_key=admin_key
        ) as simulator:
            if on_ready is not None:
                on_ready(simulator.base_url)
            # On Windows a wait without a timeout can't be interrupted.
            while not interrupted.wait(0.5):
                pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
