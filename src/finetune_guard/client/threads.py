"""Doing what may block away from an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from typing_extensions import TypeVarTuple, Unpack

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


async def in_thread(function: Callable[[Unpack[_Arguments]], _T], *arguments: Unpack[_Arguments]) -> _T:
    """Return what ``function`` returns in a worker thread.

    It takes none of the threads that the program shares: one that has all of them wait for a job that
    is being created would wait for ever.
    """
    return await anyio.to_thread.run_sync(function, *arguments, limiter=anyio.CapacityLimiter(1))
