"""Hosts and the patterns that match them, and the names of the resources that live at a host."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address

_LONGEST = 255
_PATTERN = re.compile(r"(\*\.)?([^\s/@*:?#\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_WITH_PORT = re.compile(r"([^:]+|\[.*\]):([0-9]{1,5})")
_OWN_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# Of resources: the places of a provider where deployments live. Their histories are kept where those of
# organizations are, under names with a colon, which no slug and no id of an organization has.
_PREFIX, _BEFORE_AZURE = "resource:", "azure@"
_LONGEST_RESOURCE = 400
_ROOTS = ("/openai", "/deployments", "/v1")  # of the API's own paths; what stands before is a gateway's


def is_pattern(text: str) -> bool:
    """Whether ``text`` can mean a host: neither a URL nor a bare ``*``."""
    return len(text) <= _LONGEST and text.isprintable() and _PATTERN.fullmatch(text.strip()) is not None


def port_of(scheme: str, port: int | None) -> int | None:
    """Return the port of a URL: the scheme's own where the URL names none."""
    return port if port is not None else _OWN_PORTS.get(scheme.lower())


def base_of(scheme: str, host: str, port: int | None, path: str) -> str:
    """Return where an API is, in one spelling: host, port and path prefix."""
    return f"{normalized(host)}:{port_of(scheme, port)}{path.rstrip('/')}"


def matches(pattern: str, host: str, port: int | None) -> bool:
    """Whether ``pattern`` means ``host``, however a last dot, punycode or an IPv6 address are written."""
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
    """Return the one spelling of a host's name or address; what can't be read stays as it is."""
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


def resource_history(host: str, port: int | None, path: str, *, before_azure: bool = False) -> str | None:
    """Return what the history of the resource behind a base URL is called; None where that is no name.

    ``before_azure`` tells that an Azure client of the SDK calls a host that no rule names.
    """
    root = min((path.partition(each)[0] for each in _ROOTS), key=len)
    at = f":{port}" if port is not None else ""
    known = f"[{normalized(host)}]" if ":" in host else normalized(host)
    name = f"{_PREFIX}{_BEFORE_AZURE if before_azure else ''}{known}{at}{root.rstrip('/')}"
    return name if host and len(name) <= _LONGEST_RESOURCE and name.isprintable() else None


def resource_histories(resource: str) -> tuple[str, ...]:
    """Return what the history of a resource, by its name for people, may be called."""
    return _PREFIX + resource, _PREFIX + _BEFORE_AZURE + resource


def is_resource(history: str) -> bool:
    """Whether a history is that of a resource."""
    return history.startswith(_PREFIX)


def is_azure_gateway(history: str) -> bool:
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
