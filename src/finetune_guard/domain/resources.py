"""The names of resources: the places of a provider where deployments live.

A resource's history is kept where an organization's is, under a name that no organization can have. No I/O
and no clock here.
"""

from __future__ import annotations

from finetune_guard.domain.hosts import normalized

_PREFIX = "resource:"
"""No slug and no id of an organization has a colon."""
_BEFORE_AZURE = "azure@"
_LONGEST = 400
_ROOTS = ("/openai", "/deployments", "/v1")
"""Where the API's own paths begin; what stands before is a gateway's."""


def history_of(host: str, port: int | None, path: str, *, before_azure: bool = False) -> str | None:
    """Return what the history of the resource behind a base URL is called; None where that is no name.

    Args:
        host: The URL's host.
        port: Its port, where that is not the scheme's own.
        path: Its path.
        before_azure: Whether no rule names the host, and one of the SDK's Azure clients calls it.
    """
    root = min((path[: path.index(each)] for each in _ROOTS if each in path), key=len, default=path)
    at = f":{port}" if port is not None else ""
    known = f"[{normalized(host)}]" if ":" in host else normalized(host)
    name = f"{_PREFIX}{_BEFORE_AZURE if before_azure else ''}{known}{at}{root.rstrip('/')}"
    return name if host and len(name) <= _LONGEST and name.isprintable() else None


def histories_of(resource: str) -> tuple[str, ...]:
    """Return what the history of a resource, by its name for people, may be called."""
    return _PREFIX + resource, _PREFIX + _BEFORE_AZURE + resource


def is_resource(history: str) -> bool:
    """Whether a history is that of a resource."""
    return history.startswith(_PREFIX)


def is_before_azure(history: str) -> bool:
    """Whether the resource is reached through a gateway before Azure."""
    return history.startswith(_PREFIX + _BEFORE_AZURE)


def resource_of(history: str) -> str:
    """Return the resource's name as people know it, such as ``acme.openai.azure.com``."""
    return history.removeprefix(_PREFIX).removeprefix(_BEFORE_AZURE)


def host_of(history: str) -> tuple[str, int | None]:
    """Return host and port of the resource."""
    at = resource_of(history).partition("/")[0]
    host, _, port = at.rpartition(":")
    return (host, int(port)) if port.isdigit() else (at, None)  # an IPv6 address stands in brackets
