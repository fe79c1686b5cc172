"""Reads bodies that the SDK has read, and watches stream events as the program reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import openai

from finetune_guard.client.sdk_compat import events_of, set_events
from finetune_guard.openai_api.completions import (
    Recognizer,
    completing_model,
    fields_of,
    fine_tuned_id,
    model_in,
)

_MODEL_FIELD = re.compile(rb'"model"\s*:\s*"([^"\\]*)"')
_OUTPUT_FIELD = re.compile(rb'"(?:choices|output)"\s*:\s*\[\s*\{')
_UNFINISHED = re.compile(rb'"status"\s*:\s*"(?:queued|in_progress)"')


def body_if_read(response: Any) -> object:
    """Return a response's JSON body if the SDK has read all of it; otherwise None.

    A body that is not JSON is returned as an empty string.
    """
    if not _is_read(response):
        return None
    try:
        return response.json()
    except RuntimeError:  # the program streamed it
        return None
    except ValueError:
        return ""


def model_in_response(
    value: object, response: Any, requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Return the fine-tuned model that ran, according to a response; None if it names none.

    Uses the SDK's parsed value. If the program parses for itself, uses the body if it was read; otherwise
    the requested model, if the content type fits a completion.

    Args:
        value: The SDK's parsed value; None if the SDK failed to make one.
        response: The response of httpx or httpx2.
        requested: The fine-tuned model in the request; None if it named none.
        recognize: As for ``completing_model``.
    """
    fields = fields_of(value)
    if fields is not None and ("choices" in fields or "output" in fields or fields is value):
        return model_in(fields, requested, recognize)
    if not _is_read(response):
        return requested if requested is not None and _may_hold_completion(response.headers) else None
    content = response.content
    if requested is None and not _may_name_fine_tune(content):
        return None
    if requested and _is_plainly_completion(content, requested):
        return requested
    return completing_model(body_if_read(response), requested, recognize)


def _is_read(response: Any) -> bool:
    return getattr(response, "is_stream_consumed", False) is True


def _may_hold_completion(headers: Any) -> bool:
    kind = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    return kind.endswith("json") or kind == "text/event-stream"


def _is_plainly_completion(content: object, model: str) -> bool:
    """Whether an unparsed body is a completion of ``model``; the program will parse it anyway.

    A quotation mark inside a string is escaped, so only a real field can match.
    """
    return (
        isinstance(content, bytes)
        and set(_MODEL_FIELD.findall(content)) == {model.encode()}
        and _OUTPUT_FIELD.search(content) is not None
        and _UNFINISHED.search(content) is None
    )


def _may_name_fine_tune(content: object) -> bool:
    """Whether a body is worth parsing a second time, which is slower than this search."""
    return isinstance(content, bytes) and any(part in content for part in (b"ft:", b":ft-", b".ft-"))


STREAMS = (openai.Stream, openai.AsyncStream)


def watch_events(stream: Any, callback: Callable[[object], bool]) -> None:
    """Call ``callback`` with each parsed event of ``stream`` until it returns True; it must not raise.

    Nothing is read before the program reads it. A program that reads the raw bytes causes no events.
    """
    kind = _AsyncWatchedEvents if isinstance(stream, openai.AsyncStream) else _SyncWatchedEvents
    set_events(stream, kind(events_of(stream), callback))


class _WatchedEvents:
    """Wraps the iterator of a stream, and passes on all its other attributes."""

    __slots__ = ("__anext__", "__next__", "_callback", "_events")
    _step: ClassVar[str]

    def __init__(self, events: Any, callback: Callable[[object], bool]) -> None:
        self._events = events
        self._callback = callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    def __iter__(self) -> _WatchedEvents:
        return self

    def __aiter__(self) -> _WatchedEvents:
        return self

    def _report(self, event: object) -> None:
        if self._callback(event):
            del self._callback
            step = getattr(self._events, self._step)
            name, self.__class__ = self._step, _UnwatchedEvents
            setattr(self, name, step)


class _SyncWatchedEvents(_WatchedEvents):
    __slots__ = ()
    _step = "__next__"

    def __next__(self) -> object:
        event = self._events.__next__()
        self._report(event)
        return event


class _AsyncWatchedEvents(_WatchedEvents):
    __slots__ = ()
    _step = "__anext__"

    async def __anext__(self) -> object:
        event = await self._events.__anext__()
        self._report(event)
        return event


class _UnwatchedEvents(_WatchedEvents):
    """The wrapper after the callback is done: its steps are the wrapped iterator's own."""

    __slots__ = ()
