"""Tools for testing programs that use finetune-guard: the simulator, its clock, and faults.

pytest finds the fixtures if this package is installed: ``finetune_guard_simulator`` serves the API on this
machine and sets the environment variables, so that the code under test runs unmodified;
``finetune_guard_clock`` is its clock, and the marker ``finetune_guard(date="2026-12-01")`` sets its initial
time. pytest and the simulator's dependencies are imported when they are first used.

PYTEST_DONT_REWRITE: without this word pytest warns if the module was imported before, as by a ``conftest.py``
that imports a name from it.
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
"""For test suites that list this module as a plugin because plugin autoloading is disabled."""

_CLOCK_TIMEOUT_SECONDS = 5.0
_SIMULATOR_NAMES = ("Fault", "SimulatedClock", "Simulator")


def __getattr__(name: str) -> object:
    """Import the simulator's names on first use, since they need the extra ``simulator``."""
    if name in _SIMULATOR_NAMES:
        from finetune_guard import simulator  # noqa: PLC0415 -- needs the extra "simulator"

        return getattr(simulator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def simulator_clock() -> datetime:
    """Return the time of the simulator that ``OPENAI_BASE_URL`` points to.

    For programs in another process than the simulator, which share its clock by setting
    ``FINETUNE_GUARD_CLOCK=finetune_guard.testing:simulator_clock``.

    Raises:
        GuardConfigError: ``OPENAI_BASE_URL`` is missing or not an HTTP URL.
        ConnectionError: There is no simulator at that URL.
    """
    base_url = os.environ.get("OPENAI_BASE_URL", "")
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise GuardConfigError(
            f"OPENAI_BASE_URL is {format_value(base_url)}: the simulator's base URL is required, since "
            "the clock "
            "finetune_guard.testing:simulator_clock asks the simulator for the time"
        )
    address = parts.netloc.rpartition("@")[2]  # without user and password, which must not be shown
    url = f"{parts.scheme}://{address}/_simulator/clock"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ignores proxies
    try:
        with opener.open(url, timeout=_CLOCK_TIMEOUT_SECONDS) as response:
            return aware_utc(datetime.fromisoformat(json.load(response)["now"]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise ConnectionError(f"no simulator tells the time at {url}: {error}") from error


def simulator_environment(simulator: Simulator, store: str | os.PathLike[str]) -> dict[str, str]:
    """Return the environment variables that make an unmodified program use ``simulator``.

    Args:
        simulator: A running simulator; the keys are those of its default organization.
        store: The folder of the history. With ``"memory"``, each client would have its own history.
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
