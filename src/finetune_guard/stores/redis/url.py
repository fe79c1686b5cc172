"""Parses the URL of a Redis or Valkey server; no message ever shows a part that may be secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import BaseModel, Field, ValidationError

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.text import Line

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
ALLOWED = "redis://[user:password@]host[:6379][/0], rediss:// (with TLS) or unix:///path/of/the/socket"
DEFAULT_PREFIX = "finetune-guard"

_TLS_SCHEMES = ("rediss", "valkeys")
_REQUIRED = {
    "db": "the number of the database must be a whole number such as 0",
    "prefix": "prefix must be 1 to 64 printable characters without braces",
    "timeout": "timeout must be seconds above 0 and up to 60",
    "ssl_cert_reqs": "ssl_cert_reqs must be required or none",
    "ssl_check_hostname": "ssl_check_hostname must be true or false",
}


class _Options(BaseModel):
    db: Annotated[str, Field(pattern="^[0-9]{1,5}$")] = "0"
    prefix: Annotated[Line, Field(pattern="^[^{}]{1,64}$")] = DEFAULT_PREFIX
    timeout: Annotated[float, Field(gt=0, le=60)] = 2.0


_File = Annotated[str, Field(min_length=1)]


class _TlsOptions(BaseModel):
    ssl_cert_reqs: Literal["required", "none"] = "required"
    ssl_check_hostname: Literal["true", "false"] = "true"
    ssl_ca_certs: _File | None = None
    ssl_certfile: _File | None = None
    ssl_keyfile: _File | None = None

    def settings(self) -> dict[str, str | bool]:
        """Return redis-py's settings; without a certificate no host name can be checked."""
        is_checked = self.ssl_check_hostname == "true" and self.ssl_cert_reqs == "required"
        return self.model_dump(exclude_none=True) | {"ssl_check_hostname": is_checked}


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a server's URL.

    The server is reached by host and port or, with a ``path``, by a socket file. Each wait takes at most
    ``timeout`` seconds. TLS is used only with ``tls`` settings, which are named as in redis-py.

    Two are equal if they name the same rows, with the same login, since another user may see other rows.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    db: int = 0
    prefix: str = DEFAULT_PREFIX
    timeout: float = field(default=2.0, compare=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str | bool] | None = field(default=None, repr=False, compare=False)

    @property
    def location(self) -> str:
        """The URL to show to people: without credentials and with only the parts that identify it."""
        if self.path:
            shown, more = f"unix://{quote(self.path)}", [f"db={self.db}"] if self.db else []
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            shown, more = f"{'redis' if self.tls is None else 'rediss'}://{host}:{self.port}/{self.db}", []
        if self.prefix != DEFAULT_PREFIX:
            more.append(f"prefix={quote(self.prefix)}")
        return "?".join(filter(None, (shown, "&".join(more))))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Strings that no message may show; a user name without a password may be a password."""
        secret = self.password or self.username
        return tuple({secret, quote(secret), quote(secret, safe="")}) if secret else ()


def read_url(text: str) -> RedisUrl:
    """Parse the URL ``text``.

    Raises:
        StoreError: It is not a valid URL; the message says what is allowed, and shows only its scheme: an
            invalid URL may have its password anywhere.
    """
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise StoreError("That is not the URL of a Redis or Valkey server.", remedy=f"It must be {ALLOWED}.")
    try:
        return _read(scheme, text)
    except ValueError as exc:
        problem = str(exc)
    raise StoreError(
        f"The {scheme}:// URL can't be used as a store: {problem}.",
        remedy=f"Set FINETUNE_GUARD_STORE, or the field store, to {ALLOWED}.",
    )


def _read(scheme: str, text: str) -> RedisUrl:
    """Parse the URL ``text``; raise a ValueError that says what is wrong."""
    if any(ord(letter) <= ord(" ") for letter in text):
        raise ValueError("it has a space or a control character, which must be percent-encoded")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(
            "its host or port can't be read; a / # ? or @ in a password must be percent-encoded"
        ) from None
    if "#" in text:
        raise ValueError("it has a #, which must be percent-encoded")
    given = _parse_options(url.query, is_tls=scheme in _TLS_SCHEMES)
    host, path, written_db = unquote(url.hostname or "localhost"), "", url.path.removeprefix("/")
    if scheme == "unix":
        path = os.path.normpath(unquote(url.path)) if written_db else ""
        if url.hostname or port is not None or not path.strip("/"):
            raise ValueError("the path of a socket needs three slashes, as in unix:///run/redis/redis.sock")
        host, written_db = "", ""
    if written_db and "db" in given:
        raise ValueError("it names the database twice, in its path and as the option db")
    if set("/@?#[]\\") & set(host) or ("%" in host and ":" not in host):
        raise ValueError("its host has characters that no host can have")
    if not (host.isprintable() and path.isprintable()):
        raise ValueError("its host or path has characters that can't be printed")
    try:
        options = _Options.model_validate({"db": written_db or "0", **given})
        tls = _TlsOptions.model_validate(given).settings() if scheme in _TLS_SCHEMES else None
    except ValidationError as exc:
        (name,) = exc.errors()[0]["loc"]
        raise ValueError(_REQUIRED.get(str(name), f"{name} must name a file")) from None
    return RedisUrl(
        host=host,
        port=0 if path else port or 6379,
        path=path,
        db=int(options.db),
        prefix=options.prefix,
        timeout=options.timeout,
        username=unquote(url.username or "") or None,
        password=unquote(url.password or "") or None,
        tls=tls,
    )


def _parse_options(query: str, *, is_tls: bool) -> dict[str, str]:
    allowed = (*_Options.model_fields, *(_TlsOptions.model_fields if is_tls else ()))
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in {"password", "username"}:
            raise ValueError(f"{name} is written before the @, where whoever shows a URL leaves it out")
        if name in _TlsOptions.model_fields and not is_tls:
            raise ValueError(f"{name} is for TLS, and TLS is what rediss:// and valkeys:// use")
        if name not in allowed:
            raise ValueError(f"it has an option that does not exist; allowed: {', '.join(allowed)}")
        if name in options:
            raise ValueError(f"it gives the option {name} twice")
        options[name] = value.lower() if name in {"ssl_cert_reqs", "ssl_check_hostname"} else value
    return options
