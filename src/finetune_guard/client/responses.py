"""Reading what the SDK has read of an answer, and seeing the events of a stream as the program reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

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
    """Return the JSON body of a response that the SDK has read to its end; None of any other.

    What was read and is no JSON is returned as an empty text.
    """
    if not _is_read(response):
        return None
    try:
        return response.json()
    except RuntimeError:  # it was streamed to the program
        return None
    except ValueError:
        return ""


def model_shown(
    value: object, response: Any, requested: str | None, recognize: Recognizer = fine_tuned_id
) -> str | None:
    """Return the fine-tuned model that an answer shows to have run; None if it shows none.

    What the SDK has parsed tells it. Where a program parses for itself, the body does if it was read;
    otherwise the content type is all there is, and the model that was asked for is believed.

    Args:
        value: What the SDK made of the response; None where it failed.
        response: The response of httpx or httpx2.
        requested: The fine-tuned model that was asked for; None when the request named none.
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
    """Whether a body shows a completion of ``model`` without being parsed: the program will do that.

    A quotation mark inside of a text has a backslash before it, so only a field can look like one.
    """
    return (
        isinstance(content, bytes)
        and set(_MODEL_FIELD.findall(content)) == {model.encode()}
        and _OUTPUT_FIELD.search(content) is not None
        and _UNFINISHED.search(content) is None
    )


def _may_name_fine_tune(content: object) -> bool:
    """Whether it is worth parsing a body a second time, which takes longer than this search."""
    return isinstance(content, bytes) and any(part in content for part in (b"ft:", b":ft-", b".ft-"))


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
