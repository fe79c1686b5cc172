"""The guard's own requests and replies, converted to and from the SDK's types.

They go through the SDK's ``request`` with ``cast_to=Reply``, which distinguishes their responses from the
user's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import openai

from finetune_guard.client.sdk_compat import FinalRequestOptions, omitted_header, unsent_request
from finetune_guard.client.threads import in_thread
from finetune_guard.clock import countdown
from finetune_guard.domain.organizations import Subject
from finetune_guard.openai_api.flow import ApiCall, Download, Reply

if TYPE_CHECKING:
    from finetune_guard.engine.decider import Decider

_CHUNK_SIZE = 1 << 19
"""Bytes of a file in memory at a time."""

_MOST_LOOKUP_TIME = timedelta(seconds=60)
"""The most time that the guard's lookups before one call may take, whatever its timeout."""
_LONGEST_TIMEOUT = 10**9

_CALL_ONLY_HEADERS = ("accept", "content-", "idempotency-key", "transfer-encoding", "x-stainless-")
"""Prefixes of headers that belong to the user's request and response alone."""


@dataclass(frozen=True)
class CallOptions:
    """Options of the user's call that the guard's own requests for it share.

    Its headers about body and response are left out. All share the ``time_left`` of its timeout, if it has
    one, and lookups the ``lookup_time_left``.
    """

    headers: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    time_left: Callable[[], timedelta] | None = None
    lookup_time_left: Callable[[], timedelta] | None = None

    @classmethod
    def of(cls, options: Any, timeout: object) -> CallOptions:
        """Return the shared options of a request with the SDK's ``options`` and the client's ``timeout``."""
        headers = options.headers if isinstance(options.headers, Mapping) else {}
        is_valid = options.timeout is None or _total_timeout(options.timeout) is not None
        total = _total_timeout(options.timeout if is_valid else timeout)
        return cls(
            {
                name: value
                for name, value in headers.items()
                if not name.lower().startswith(_CALL_ONLY_HEADERS)
            },
            options.params if isinstance(options.params, Mapping) else {},
            None if total is None else countdown(total),
            countdown(_MOST_LOOKUP_TIME if total is None else min(total, _MOST_LOOKUP_TIME)),
        )

    def timeout_for(self, call: ApiCall) -> float | None:
        """Return how many seconds ``call`` may take in total; None for no limit."""
        shared = self.lookup_time_left if call.timeout is None else self.time_left
        limits = (call.timeout, shared() if shared is not None else None)
        return min((limit.total_seconds() for limit in limits if limit is not None), default=None)


NO_OPTIONS = CallOptions()
"""The options if there is no call of the user's."""


def own_request(
    call: ApiCall, call_options: CallOptions, timeout: float | None, client_headers: Mapping[str, Any]
) -> FinalRequestOptions:
    """Return the SDK's options for ``call``, including those shared with the user's call.

    A request with its own key is made for no project, whatever project the client's headers name.
    """
    optional: dict[str, Any] = {}
    if call.json is not None:
        optional["json_data"] = dict(call.json)
    if timeout is not None:
        optional["timeout"] = timeout
    if not call.retry:
        optional["max_retries"] = 0
    headers = dict(call_options.headers)
    if call.key is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {call.key}"
        named = (name for name in (*headers, *client_headers) if name.lower() == "openai-project")
        headers.update(dict.fromkeys(named, omitted_header()))
    query = {**call_options.query, **call.query}
    return FinalRequestOptions.construct(
        method=call.method, url=call.path, params=query, headers=headers, **optional
    )


def timeout_error(client: Any, call: ApiCall) -> openai.APITimeoutError:
    """Return the SDK's error for a ``call`` whose total timeout has passed."""
    return openai.APITimeoutError(request=unsent_request(client, call.method, call.path))


def _total_timeout(timeout: object) -> timedelta | None:
    """Return a timeout of the SDK as a duration; None for no limit or an invalid timeout."""
    seconds = getattr(timeout, "read", timeout)
    if isinstance(seconds, (int, float)) and 0 <= seconds <= _LONGEST_TIMEOUT:
        return timedelta(seconds=seconds)
    return None


def reply_from(response: Any, subject: Subject, decider: Decider) -> Reply:
    """Return ``response``, whose body the SDK has read already, as a flow's reply."""
    try:
        body = response.json()
    except (RecursionError, ValueError):
        body = None
    return Reply(body, subject, at=decider.answered_at(response.headers.get("date")))


def download(client: Any, step: Download) -> None:
    """Pass the content of a file to ``step.write``, in the caller's thread."""
    with client.files.with_streaming_response.content(step.file) as response:
        chunks = response.iter_bytes(_CHUNK_SIZE)
        while True:
            with _as_connection_error(client, step):
                chunk = next(chunks, None)
            if chunk is None:
                return
            step.write(chunk)


async def download_async(client: Any, step: Download) -> None:
    """Do as ``download`` does, but call ``step.write`` in a worker thread."""
    async with client.files.with_streaming_response.content(step.file) as response:
        chunks = response.iter_bytes(_CHUNK_SIZE)
        while True:
            with _as_connection_error(client, step):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            await in_thread(step.write, chunk)


@contextmanager
def _as_connection_error(client: Any, step: Download) -> Iterator[None]:
    """Convert the HTTP library's error for an incomplete body into the SDK's."""
    try:
        yield
    except Exception as error:
        request = unsent_request(client, "get", f"/files/{step.file}/content")
        raise openai.APIConnectionError(request=request) from error
