"""Host names, the patterns that match them, and the names of resources at a host."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address

_LONGEST = 255
_PATTERN = re.compile(r"(\*\.)?([^\s/@*:?#\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_WITH_PORT = re.compile(r"([^:]+|\[.*\]):([0-9]{1,5})")
_OWN_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# A resource is where a provider's deployments are. The histories of resources are stored beside those of
# organizations, under names with a colon, which no slug or id of an organization contains.
_PREFIX, _GATEWAY = "resource:", "azure@"
_LONGEST_RESOURCE = 400
_ROOTS = ("/openai", "/deployments", "/v1")  # where the API's path starts; anything before it is a gateway's


def is_pattern(text: str) -> bool:
    """Whether ``text`` is a host name or pattern, not a URL or a bare ``*``."""
    return len(text) <= _LONGEST and text.isprintable() and _PATTERN.fullmatch(text.strip()) is not None


def port_of(scheme: str, port: int | None) -> int | None:
    """Return the port of a URL, by default that of its scheme."""
    return port if port is not None else _OWN_PORTS.get(scheme.lower())


def base_of(scheme: str, host: str, port: int | None, path: str) -> str:
    """Return the normalized base URL of an API: host, port and path prefix."""
    return f"{normalized(host)}:{port_of(scheme, port)}{path.rstrip('/')}"


def matches(pattern: str, host: str, port: int | None) -> bool:
    """Whether ``pattern`` matches ``host``, whatever the spelling of a final dot, punycode or IPv6."""
    pattern = pattern.strip()
    if with_port := _WITH_PORT.fullmatch(pattern):
        pattern = with_port[1]
        if int(with_port[2]) != port:
            return False
    name, host = normalized(pattern.removeprefix("*.")), normalized(host)
    if pattern.startswith("*."):
        return host.endswith(f".{name}") and len(host) > len(name) + 1
    return host == name


def normalized(name: str) -> str:
    """Return a host's name or address in its normal form; unchanged if it can't be parsed."""
    name = name.lower().removesuffix(".")
    if ":" in name:
        try:
            return str(ip_address(name.strip("[]")))
        except ValueError:
            return name
    if len(name) > _LONGEST or (name.isascii() and "xn--" not in name):
        return name
    labels = unicodedata.normalize("NFKC", name).replace("\u3002", ".").split(".")
    return unicodedata.normalize("NFC", ".".join(map(_decoded, labels)).lower()).removesuffix(".")


def _decoded(label: str) -> str:
    try:
        text = label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
    except UnicodeError:
        return label
    return label if text.isascii() else text


def resource_history(host: str, port: int | None, path: str, *, is_gateway: bool = False) -> str | None:
    """Return the name of the history of the resource at a base URL; None if it has no valid name.

    ``is_gateway`` is set if an Azure client of the SDK calls a host that no rule names.
    """
    root = min((path.partition(each)[0] for each in _ROOTS), key=len)
    at = f":{port}" if port is not None else ""
    known = f"[{normalized(host)}]" if ":" in host else normalized(host)
    name = f"{_PREFIX}{_GATEWAY if is_gateway else ''}{known}{at}{root.rstrip('/')}"
    return name if host and len(name) <= _LONGEST_RESOURCE and name.isprintable() else None


def resource_histories(resource: str) -> tuple[str, ...]:
    """Return the possible history names of a resource, given its display name."""
    return _PREFIX + resource, _PREFIX + _GATEWAY + resource


def is_resource(history: str) -> bool:
    """Whether a history is that of a resource."""
    return history.startswith(_PREFIX)


def is_azure_gateway(history: str) -> bool:
    """Whether the resource is reached through a gateway in front of Azure."""
    return history.startswith(_PREFIX + _GATEWAY)


def resource_of(history: str) -> str:
    """Return the resource's display name, such as ``acme.openai.azure.com``."""
    return history.removeprefix(_PREFIX).removeprefix(_GATEWAY)


def host_of(history: str) -> tuple[str, int | None]:
    """Return the host and port of a resource."""
    at = resource_of(history).partition("/")[0]
    host, _, port = at.rpartition(":")
    return (host, int(port)) if port.isdigit() else (at, None)  # an IPv6 address stands in brackets
