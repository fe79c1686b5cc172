"""Whether a host matches a pattern, however the two are spelled."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address

_LONGEST = 255
_PATTERN = re.compile(r"(\*\.)?([^\s/@*:?#\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_WITH_PORT = re.compile(r"([^:]+|\[.*\]):([0-9]{1,5})")
_OWN_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


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
    """Whether ``pattern`` means ``host``.

    A trailing dot, punycode and the spelling of an IPv6 address make no difference on either side.
    """
    pattern = pattern.strip()
    with_port = _WITH_PORT.fullmatch(pattern)
    if with_port is not None:
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
    """Return a label in punycode as the text that it stands for."""
    try:
        text = label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
    except UnicodeError:
        return label
    return label if text.isascii() else text
