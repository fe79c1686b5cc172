"""Seeing the events of a stream as the program reads them from the SDK's own object."""

from __future__ import annotations

from collections.abc import Callable
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
        self._look: Callable[[object], bool] | None = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)


class _Events(_Watched):
    __slots__ = ()

    def __iter__(self) -> _Events:
        return self

    def __next__(self) -> object:
        event = self._events.__next__()
        if self._look is not None and self._look(event):
            self._look = None
        return event


class _AsyncEvents(_Watched):
    __slots__ = ()

    def __aiter__(self) -> _AsyncEvents:
        return self

    def __anext__(self) -> Any:
        coming = self._events.__anext__()
        return coming if self._look is None else self._seen(coming)

    async def _seen(self, coming: Any) -> object:
        event = await coming
        if self._look is not None and self._look(event):
            self._look = None
        return event
