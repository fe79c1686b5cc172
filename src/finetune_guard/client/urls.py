"""Routes of a client's requests, and whether a policy applies to their host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from finetune_guard.client.sdk_compat import base_url, is_azure, whole_url
from finetune_guard.domain.hosts import base_of, port_of, resource_history
from finetune_guard.domain.idle_policy import IdlePolicy, Operation
from finetune_guard.logs import OnceLog
from finetune_guard.openai_api.requests import (
    CallKind,
    JobCreation,
    TrainingUpload,
    call_kind,
    operation_of,
    root_path,
)

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig
    from finetune_guard.engine.deployments import Resource


_MOST_ROUTES = 256
_LONGEST_URL = 256
"""Routes of longer URLs, which rarely repeat, are not cached."""

_log_of_process = OnceLog()


def api_url(client: Any, url: str) -> Any:
    """Return scheme, host, port and path of the API for a request to ``url``.

    They come from the URL if it is absolute, else from the client's base URL. The host of an invalid URL is
    empty: the SDK handles it.
    """
    if "://" not in url:
        return client.base_url
    try:
        parts = urlsplit(url)
        return SimpleNamespace(
            scheme=parts.scheme, host=parts.hostname or "", port=parts.port, path=root_path(parts.path)
        )
    except ValueError:
        return SimpleNamespace(scheme="", host="", port=None, path="")


def api_base(client: Any, url: str) -> str:
    """Return the API's base for a request of ``client`` to ``url``, in the form of ``base_of``."""
    own = api_url(client, url)
    return base_of(own.scheme, own.host, own.port, own.path)


class Route(NamedTuple):
    """The destination and kind of a request, from its method and URL.

    Attributes:
        base: The API's base in the form of ``base_of``; None if the policy does not apply.
        resource: The resource that it goes to; None where no idle policy holds.
        kind: The kind of the call.
        path: The whole path on such a resource; otherwise empty.
        operation: The kind of inference there; None if it is not one.
        is_routine: Whether it can be sent without a decision.
    """

    base: str | None
    resource: Resource | None
    kind: CallKind
    path: str
    operation: Operation | None
    is_routine: bool


class GuardedHosts:
    """The hosts of the policy, as configured, and those of idle policies.

    ``resource`` returns the resource with a history and a rule; it is None if there is no guard.
    """

    def __init__(
        self, config: GuardConfig, resource: Callable[[str, IdlePolicy], Resource] | None = None
    ) -> None:
        self._config = config
        self._make_resource = resource
        self._once = OnceLog()
        # One value, which threads replace atomically: the last base URL and class of client, the last
        # request with its route, and the routes of that base URL.
        self._last: tuple[object, type[object], str, str, Route, dict[tuple[str, str], Route]] | None = None

    def include(self, client: object, url: Any) -> bool:
        """Whether the policy applies to calls of ``client`` to a URL of httpx or httpx2, or its parts."""
        return self._config.guards(url.host, port_of(url.scheme, url.port)) and not is_azure(client)

    def route(self, client: Any, method: str, url: str) -> Route:
        """Return the route of a request of ``client``; every call of a program runs this."""
        base, last = base_url(client), self._last  # URL objects are immutable
        if last is not None and last[0] is base and last[1] is type(client):
            if last[3] is url and last[2] is method:  # the response to the same request
                return last[4]
            routes = last[5]
        else:
            routes = {}
        route = routes.get((method, url)) or self._new_route(client, method, url)
        if len(url) <= _LONGEST_URL and len(routes) < _MOST_ROUTES:
            routes[method, url] = route
        self._last = base, type(client), method, url, route, routes
        return route

    def _new_route(self, client: Any, method: str, url: str) -> Route:
        own = api_url(client, url)
        guarded = api_base(client, url) if self.include(client, own) else None
        resource, kind = self._resource_of(own, by_azure=is_azure(client)), call_kind(method, url)
        path = whole_url(client, url).path if resource is not None else ""
        operation = operation_of(method, path)
        is_decided = guarded is not None and kind in {JobCreation, TrainingUpload}
        return Route(guarded, resource, kind, path, operation, operation is None and not is_decided)

    def _resource_of(self, url: Any, *, by_azure: bool) -> Resource | None:
        port = port_of(url.scheme, url.port)
        policy = self._config.idle_policy(url.host, port, is_azure=by_azure)
        if policy is None or self._make_resource is None:
            return None
        if policy.covers == "named" and not self._config.named_deployments:
            return None
        is_gateway = self._config.idle_policy(url.host, port) is None
        name = resource_history(url.host, url.port, url.path, is_gateway=is_gateway)
        return self._make_resource(name, policy) if name is not None else None

    def log_inactive(self, client: Any, url: str) -> None:
        """Log once that a fine-tuned model was called on a host without the policy."""
        if self._config.enabled:
            self._once.log(
                logging.INFO,
                "finetune-guard is inactive for %s: the policy is not known to apply there. If it does, "
                "name the host in GuardConfig(hosts=...) or FINETUNE_GUARD_HOSTS.",
                api_url(client, url).host,
            )

    def log_websocket(self, client: Any, url: str) -> None:
        """Log once per process that inferences over the WebSocket at ``url`` are not observed."""
        target = api_url(client, f"http{url[2:]}")
        if self.include(client, target):
            _log_of_process.log(
                logging.INFO,
                "finetune-guard does not see inferences over a WebSocket (%s). If one was on a fine-tuned "
                "model, call client.guard.record(model) after it.",
                target.host,
            )
