"""What a program's own tests need: the simulator, a clock to turn, and faults to ask for.

pytest has the fixtures wherever this package is installed: ``finetune_guard_simulator`` serves the API on
this machine and points the environment to it, so that the code under test runs unmodified;
``finetune_guard_clock`` is its clock, and the marker ``finetune_guard(date="2026-12-01")`` says where that
stands when a test begins. Neither pytest nor the simulator's dependencies are imported before they are used.

PYTEST_DONT_REWRITE: without this word pytest warns when the module was imported before it, as in a
``conftest.py`` that takes a name from here.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.policy import aware_utc
from finetune_guard.domain.validation import format_value

if TYPE_CHECKING:
    from finetune_guard.simulator import Fault, SimulatedClock, Simulator

__all__ = ["Fault", "SimulatedClock", "Simulator", "simulator_clock", "simulator_environment"]

pytest_plugins = ("finetune_guard.pytest_plugin",)
"""For programs that name this module among their plugins, where pytest loads no plugins by itself."""

_CLOCK_TIMEOUT_SECONDS = 5.0
_FROM_SIMULATOR = ("Fault", "SimulatedClock", "Simulator")


def __getattr__(name: str) -> object:
    """Import what needs the extra ``simulator`` only when it is asked for."""
    if name in _FROM_SIMULATOR:
        from finetune_guard import simulator  # noqa: PLC0415 -- needs the extra "simulator"

        return getattr(simulator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def simulator_clock() -> datetime:
    """Return the time of the simulator that ``OPENAI_BASE_URL`` points to.

    For programs in another process than the simulator, which then live in its time:
    ``FINETUNE_GUARD_CLOCK=finetune_guard.testing:simulator_clock``.

    Raises:
        GuardConfigError: ``OPENAI_BASE_URL`` is missing or no HTTP URL.
        ConnectionError: No simulator answers there.
    """
    base_url = os.environ.get("OPENAI_BASE_URL", "")
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise GuardConfigError(
            f"OPENAI_BASE_URL is {format_value(base_url)}: the simulator's base URL is required, since "
            "the clock "
            "finetune_guard.testing:simulator_clock asks the simulator for the time"
        )
    address = parts.netloc.rpartition("@")[2]  # without a user and a password, which belong in no message
    url = f"{parts.scheme}://{address}/_simulator/clock"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy can't reach this machine
    try:
        with direct.open(url, timeout=_CLOCK_TIMEOUT_SECONDS) as response:
            return aware_utc(datetime.fromisoformat(json.load(response)["now"]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise ConnectionError(f"no simulator tells the time at {url}: {error}") from error


def simulator_environment(simulator: Simulator, store: str | os.PathLike[str]) -> dict[str, str]:
    """Return the environment variables with which an unmodified program uses ``simulator``.

    Args:
        simulator: A simulator that serves; its default organization's key is used, and its admin key
            if it has one.
        store: The folder of the history. ``"memory"`` would give each client one of its own.
    """
    organization = simulator.organization()
    admin = {"FINETUNE_GUARD_ADMIN_API_KEY": organization.admin_key}
    return {
        **{name: key for name, key in admin.items() if key is not None},
        "OPENAI_BASE_URL": simulator.base_url,
        "OPENAI_API_KEY": organization.api_key,
        "FINETUNE_GUARD_HOSTS": simulator.host,
        "FINETUNE_GUARD_STORE": os.fspath(store),
        "FINETUNE_GUARD_CLOCK": f"{__name__}:{simulator_clock.__name__}",
    }
