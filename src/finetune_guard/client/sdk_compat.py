"""Every private part of the SDK that the clients rely on, with the releases of openai it was seen in.

No other module of ``client/`` imports from a private module of openai, or reads a private attribute of
its clients. Three private names can't be renamed, since the clients override or extend them:
``_process_response`` (called once for each successful call, keyword-only), ``_prepare_options`` (called
before each request, and in 3.54.0 before a WebSocket is opened) and ``copy``'s argument
``_extra_kwargs``; all are in 1.55.3 to 3.57.0.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import openai

# 1.55.3 to 3.57.0: the options argument of ``request``.
from openai._models import FinalRequestOptions as FinalRequestOptions  # noqa: PLC0414 -- others have it from here

# 1.55.3 to 3.57.0: a header value that omits the header.
from openai._types import Omit

if TYPE_CHECKING:
    # 1.55.3 to 3.57.0: the bases of all clients; every call goes through their ``request`` once.
    from openai._base_client import AsyncAPIClient, SyncAPIClient

    SyncBase = SyncAPIClient
    AsyncBase = AsyncAPIClient
else:
    SyncBase = AsyncBase = object

WRAPPED_METHODS = ("request", "_process_response", "_prepare_options", "close")
"""The methods of both clients that ``install`` wraps in addition to ``copy`` (1.55.3 to 3.57.0)."""


base_url = attrgetter("_base_url")
"""Returns a client's URL object, a microsecond faster than the property (1.55.3 to 3.57.0)."""

http_client = attrgetter("_client")
"""Returns the ``httpx`` or ``httpx2`` client that a client sends with (1.55.3 to 3.57.0)."""


def omitted_header() -> Any:
    """Return a header value that omits a header the client would send (1.55.3 to 3.57.0)."""
    return Omit()


def adds_key_later(client: Any) -> bool:
    """Whether the key is added while a request is sent, by the HTTP client's ``auth`` or by the SDK.

    ``_client`` and ``custom_auth`` are in 1.55.3 to 3.57.0; ``workload_identity`` and ``_provider`` were
    seen in 3.54.0, and are looked for in every release.
    """
    own = ("workload_identity", "_provider", "custom_auth")
    return getattr(http_client(client), "auth", None) is not None or any(
        getattr(client, name, None) is not None for name in own
    )


def uses_admin_key(options: Any) -> bool:
    """Whether a request is sent with the client's admin key alone (``security``: 2.54.0 to 3.57.0)."""
    return not getattr(options, "security", {"bearer_auth": True}).get("bearer_auth", False)


def has_callable_key(client: Any) -> bool:
    """Whether the release can take a function as the API key (1.106 to 3.57.0)."""
    return hasattr(client, "_refresh_api_key")


def refresh_api_key(client: Any) -> Any:
    """Have ``client`` call its API key function; await the result if it is async (1.106 to 3.57.0)."""
    return client._refresh_api_key()  # noqa: SLF001


def whole_url(client: Any, url: str) -> Any:
    """Return the URL that a request of ``client`` to ``url`` goes to (1.55.3 to 3.57.0)."""
    return client._prepare_url(url)  # noqa: SLF001


def unsent_request(client: Any, method: str, path: str) -> Any:
    """Return an HTTP library's request as ``client`` would send it (1.55.3 to 3.57.0)."""
    return http_client(client).build_request(method.upper(), whole_url(client, path))


def is_azure(client: object) -> bool:
    """Whether ``client`` is one of Azure's, which has other rules; both classes are public."""
    return isinstance(client, (openai.AzureOpenAI, openai.AsyncAzureOpenAI))


def events_of(stream: Any) -> Any:
    """Return the iterator that ``Stream`` and ``AsyncStream`` take their events from (1.55.3 to 3.57.0)."""
    return stream._iterator  # noqa: SLF001


def set_events(stream: Any, events: Any) -> None:
    """Have ``stream`` take its events from ``events`` (1.55.3 to 3.57.0)."""
    stream._iterator = events  # noqa: SLF001
