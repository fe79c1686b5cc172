"""Which hosts a policy speaks of."""

from __future__ import annotations

import re

_LONGEST = 255
_PATTERN = re.compile(r"(\*\.)?([^\s/@*:?#\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)


def is_pattern(text: str) -> bool:
    """Whether ``text`` can mean a host: neither a URL nor a bare ``*``."""
    return len(text) <= _LONGEST and text.isprintable() and _PATTERN.fullmatch(text.strip()) is not None


def matches(pattern: str, host: str, port: int | None) -> bool:
    """Whether ``host`` is meant by ``pattern``: a name, ``*.`` before one, with or without a port."""
    name, _, wanted_port = pattern.lower().strip().rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", wanted_port):
        name, wanted_port = pattern.lower().strip(), ""
    if wanted_port and int(wanted_port) != port:
        return False
    host = host.lower().rstrip(".")
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) > len(name) - 1
    return host == name.strip("[]")
