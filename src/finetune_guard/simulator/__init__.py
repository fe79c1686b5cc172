"""A local HTTP server that behaves as OpenAI's API does under the wind-down policy.

Needs the extra ``simulator``: ``pip install 'finetune-guard[simulator]'``.
"""

from __future__ import annotations

from importlib.util import find_spec

if not all(map(find_spec, ("starlette", "uvicorn", "h11"))) or not any(
    map(find_spec, ("python_multipart", "multipart"))
):
    raise ImportError(
        "the simulator needs starlette, uvicorn and python-multipart: pip install 'finetune-guard[simulator]'"
    )

from finetune_guard.simulator.azure import Deployment, SimulatedAzure
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.control import ServedCall
from finetune_guard.simulator.faults import Fault, UsageFlaw
from finetune_guard.simulator.foreground import serve
from finetune_guard.simulator.organizations import Organization
from finetune_guard.simulator.server import Simulator

__all__ = [
    "Deployment",
    "Fault",
    "Organization",
    "ServedCall",
    "SimulatedAzure",
    "SimulatedClock",
    "Simulator",
    "UsageFlaw",
    "serve",
]
