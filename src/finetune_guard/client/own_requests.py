"""The guard's own requests in the SDK's terms, and their answers in ours.

They go through the SDK's ``request`` with ``Reply`` as the type to cast to, which tells them from the
user's when they are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import openai

from finetune_guard.client.sdk_compat import FinalRequestOptions, left_out, unsent_request
from finetune_guard.client.threads import in_thread
from finetune_guard.clock import countdown
from finetune_guard.openai_api.flow import ApiCall, Download, Reply
from finetune_guard.recording.notes import Subject

if TYPE_CHECKING:
    from finetune_guard.engine.decider import Decider

_PIECE = 1 << 19
"""How many bytes of a file are held in memory at a time."""

_LONGEST_ASKING = timedelta(seconds=60)
"""How long the questions before one call of the user's may take, whatever its timeout."""
_LONGEST_TIMEOUT = 10**9

_OF_THE_CALL = ("accept", "content-", "idempotency-key", "transfer-encoding", "x-stainless-")
"""How the names of headers begin that speak of the user's own request and its answer."""


@dataclass(frozen=True)
class TakenOver:
    """What the guard's own requests take over from the user's call that they are made for.

    Attributes:
        headers: Its own headers, but for those that speak of its own body and answer.
        query: Its own query parameters.
        left: Tells how much is left of its timeout, which all of them share; None for no limit.
        asking_left: Tells how much is left of the time that questions may take.
    """

    headers: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    left: Callable[[], timedelta] | None = None
    asking_left: Callable[[], timedelta] | None = None

    @classmethod
    def of(cls, options: Any, timeout: object) -> TakenOver:
        """Return what is taken over from a request with the SDK's ``options``.

        Args:
            options: The SDK's options for the request.
            timeout: The client's own timeout, which holds where the request has none.
        """
        headers = options.headers if isinstance(options.headers, Mapping) else {}
        given = options.timeout
        total = _total(given if given is None or _total(given) is not None else timeout)
        return cls(
            {name: value for name, value in headers.items() if not name.lower().startswith(_OF_THE_CALL)},
            options.params if isinstance(options.params, Mapping) else {},
            None if total is None else countdown(total),
            countdown(_LONGEST_ASKING if total is None else min(total, _LONGEST_ASKING)),
        )

    def time_for(self, call: ApiCall) -> float | None:
        """Return how many seconds ``call`` may take as a whole; None for no limit."""
        shared = self.asking_left if call.timeout is None else self.left
        limits = (call.timeout, shared() if shared is not None else None)
        return min((limit.total_seconds() for limit in limits if limit is not None), default=None)


NOTHING = TakenOver()
"""What is taken over where there is no call of the user's."""


def own_request(
    call: ApiCall, taken_over: TakenOver, timeout: float | None, client_headers: Mapping[str, Any]
) -> FinalRequestOptions:
    """Return the SDK's options for ``call``, with what it takes over from the user's.

    A request with a key of its own is made for no project, whatever the client's own headers name.
    """
    optional: dict[str, Any] = {}
    if call.json is not None:
        optional["json_data"] = dict(call.json)
    if timeout is not None:
        optional["timeout"] = timeout
    if not call.retry:
        optional["max_retries"] = 0
    headers = dict(taken_over.headers)
    if call.key is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {call.key}"
        named = (name for name in (*headers, *client_headers) if name.lower() == "openai-project")
        headers.update(dict.fromkeys(named, left_out()))
    query = {**taken_over.query, **call.query}
    return FinalRequestOptions.construct(
        method=call.method, url=call.path, params=query, headers=headers, **optional
    )


def timeout_error(client: Any, call: ApiCall) -> openai.APITimeoutError:
    """Return the SDK's error for a ``call`` that took too long as a whole."""
    return openai.APITimeoutError(request=unsent_request(client, call.method, call.path))


def _total(timeout: object) -> timedelta | None:
    """Return a timeout of the SDK's as one duration; None for no limit, and for what is no timeout."""
    seconds = getattr(timeout, "read", timeout)
    if isinstance(seconds, (int, float)) and 0 <= seconds <= _LONGEST_TIMEOUT:
        return timedelta(seconds=seconds)
    return None


def reply_from(response: Any, subject: Subject, decider: Decider) -> Reply:
    """Return what a flow may know of ``response``; the SDK has read its body already."""
    try:
        body = response.json()
    except (RecursionError, ValueError):
        body = None
    at = decider.answered_at(response.headers.get("date"))
    return Reply(body=body, organization=subject.organization, credentials=subject.credentials, at=at)


def download(client: Any, asked: Download) -> None:
    """Have ``asked.write`` take the content of a file, in the caller's thread."""
    with client.files.with_streaming_response.content(asked.file) as response:
        pieces = response.iter_bytes(_PIECE)
        while True:
            with _broken_off(client, asked):
                piece = next(pieces, None)
            if piece is None:
                return
            asked.write(piece)


async def download_async(client: Any, asked: Download) -> None:
    """Do as ``download`` does; ``asked.write`` runs in a worker thread."""
    async with client.files.with_streaming_response.content(asked.file) as response:
        pieces = response.iter_bytes(_PIECE)
        while True:
            with _broken_off(client, asked):
                piece = await anext(pieces, None)
            if piece is None:
                return
            await in_thread(asked.write, piece)


@contextmanager
def _broken_off(client: Any, asked: Download) -> Iterator[None]:
    """Turn the HTTP library's error for a body that ends too early into the SDK's."""
    try:
        yield
    except Exception as error:
        request = unsent_request(client, "get", f"/files/{asked.file}/content")
        raise openai.APIConnectionError(request=request) from error
