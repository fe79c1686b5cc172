"""Seeing the events of a stream as the program reads them from the SDK's own object."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import openai

from finetune_guard.client.sdk_compat import events_of, set_events

STREAMS = (openai.Stream, openai.AsyncStream)


def watch(stream: Any, look: Callable[[object], bool]) -> None:
    """Have ``look`` see the parsed events of ``stream`` as they pass, until it returns True.

    Nothing is read before the program reads it, and what reads the response's bytes shows no events.
    ``look`` must not raise.
    """
    kind = _AsyncEvents if isinstance(stream, openai.AsyncStream) else _Events
    set_events(stream, kind(events_of(stream), look))


class _Watched:
    """The iterator that a stream had, with whatever else can be asked of it."""

    __slots__ = ("_events", "_look")

    def __init__(self, events: Any, look: Callable[[object], bool]) -> None:
        self._events = events
        self._look = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    def __iter__(self) -> _Watched:
        return self

    def __aiter__(self) -> _Watched:
        return self

    def _see(self, event: object) -> None:
        if self._look(event):
            del self._look
            self.__class__ = _Seen


class _Events(_Watched):
    __slots__ = ()

    def __next__(self) -> object:
        event = self._events.__next__()
        self._see(event)
        return event


class _AsyncEvents(_Watched):
    __slots__ = ()

    async def __anext__(self) -> object:
        event = await self._events.__anext__()
        self._see(event)
        return event


class _Seen(_Watched):
    """What is left once nobody looks: each step is the iterator's own, and runs no function of ours."""

    __slots__ = ()
    __next__ = property(attrgetter("_events.__next__"))
    __anext__ = property(attrgetter("_events.__anext__"))
