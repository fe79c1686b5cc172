"""The credentials of requests, and the organizations that their responses name."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any

import openai

from finetune_guard.client.sdk_compat import adds_key_later, http_client, uses_admin_key
from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.organizations import (
    Credentials,
    Subject,
    credentials_in,
    is_credential_header,
    organization_slug,
    project_id,
)

_MOST_REMEMBERED = 1_000
_LONGEST_NAME = 129
"""A header of this length names no organization; longer ones are cut to it."""


class Identities:
    """Finds the credentials and organization of each request of a client and its copies.

    A decision is made before its request is sent, so it needs the credentials in advance. If an HTTP client
    or the SDK adds the key later, the credentials of the latest request of the same HTTP client are used.
    Before the first request, a placeholder keeps such clients apart.
    """

    def __init__(self, learn: Callable[[Subject, str | None, Credentials | None], None]) -> None:
        self._learn = learn
        self._subjects: dict[tuple[object, ...], Subject] = {}
        self._rewritten: dict[tuple[object, ...], Credentials] = {}
        self._http_clients: weakref.WeakKeyDictionary[Any, _SentCredentials] = weakref.WeakKeyDictionary()
        # The last client, how many headers its request had, the picker of those with its credentials, and
        # the last subject with its key. One value, which threads replace atomically.
        self._last: tuple[Callable[[], Any], int, Callable[[Any], object], object, Any]
        self._last = _nothing, 0, _nothing, None, None

    def credentials(self, client: Any, base: str, headers: object = None) -> Credentials:
        """Return the credentials of a request to ``base`` with its own ``headers``."""
        planned = _planned_credentials(client, base, headers)
        rewritten = self._http_clients.get(http_client(client))
        if rewritten is not None and planned in rewritten.sent:
            return rewritten.sent[planned]
        if planned.has_key and not adds_key_later(client):
            return planned
        return self._sent_by(client).placeholder(planned)

    def subject(
        self, client: Any, base: str, options: Any, response: Any, *, lasting: bool
    ) -> tuple[Subject, bytes | None]:
        """Return the subject and the ``Date`` of a response; record a subject when it is new.

        One pass over all headers is several times faster than a lookup of each.

        Args:
            client: The client that sent the request.
            base: The base URL of the API.
            options: The SDK's options of the request.
            response: The response of httpx or httpx2.
            lasting: Whether the response itself is recorded, so that its project may be, too.
        """
        request, received = response.request.headers, response.headers
        try:  # as _entries does, for both libraries
            sent, entries = request._list, received._list  # noqa: SLF001
        except AttributeError:
            sent, entries = _entries(request), _entries(received)
        organization, date = b"", None
        for _, name, value in entries:
            if name == b"date":
                date = value if date is None else date + b", " + value
            elif name == b"openai-organization":
                organization = organization + b", " + value if organization else value
        last_client, count, pick, last_key, subject = self._last
        if (
            last_client() is client
            and count == len(sent)
            and type(options.headers) is openai.NotGiven
            and (base, lasting, organization, pick(sent)) == last_key
        ):
            return subject, date
        return self._find_subject(client, base, options, response, organization, lasting=lasting), date

    def _find_subject(
        self, client: Any, base: str, options: Any, response: Any, organization: bytes, *, lasting: bool
    ) -> Subject:
        """Return the subject of a response that differs from the last one."""
        sent, organization = _entries(response.request.headers), organization[:_LONGEST_NAME]
        positions = [position for position, (_, name, _) in enumerate(sent) if _is_identity_header(name)]
        pick = itemgetter(*positions) if positions else _nothing
        last_key = base, lasting, organization, pick(sent)
        key = id(http_client(client)), last_key
        subject = self._subjects.get(key)
        if subject is None:
            subject = Subject(organization_slug(_text(organization)), _credentials_of(sent, base))
            project = response.headers.get("openai-project") if lasting else None
            # The admin key tells nothing about which key the HTTP client sends otherwise.
            planned = _planned_credentials(client, base, options.headers)
            planned = subject.credentials if uses_admin_key(options) else planned
            self._remember(key, subject, client, planned, project)
        elif key in self._rewritten:
            self._sent_by(client).sent[self._rewritten[key]] = subject.credentials
        if key not in self._rewritten and type(options.headers) is openai.NotGiven:
            self._last = weakref.ref(client), len(sent), pick, last_key, subject
        return subject

    def _remember(
        self, key: tuple[object, ...], subject: Subject, client: Any, planned: Credentials, project: object
    ) -> None:
        if len(self._subjects) >= _MOST_REMEMBERED:
            self._subjects.clear()
            self._rewritten.clear()
        placeholder = None
        if planned != subject.credentials or adds_key_later(client):
            rewritten = self._sent_by(client)
            rewritten.sent[planned] = subject.credentials
            placeholder = rewritten.placeholder(planned)
            self._rewritten[key] = planned
        self._learn(subject, project_id(project), placeholder)
        self._subjects[key] = subject

    def _sent_by(self, client: Any) -> _SentCredentials:
        http = http_client(client)
        known = self._http_clients.get(http)
        return known if known is not None else self._http_clients.setdefault(http, _SentCredentials())


class _SentCredentials:
    """The credentials that one HTTP client really sent, by those that were planned."""

    def __init__(self) -> None:
        self.sent: Bounded[Credentials, Credentials] = Bounded()
        self._token = secrets.token_hex(16)

    def placeholder(self, planned: Credentials) -> Credentials:
        """Return a stand-in for credentials until a request is sent; no header can have its name."""
        return planned._replace(keys=(*planned.keys, (":http-client", self._token)))


def _planned_credentials(client: Any, base: str, headers: object) -> Credentials:
    """Return the credentials that the SDK will send; later headers win, whatever their case."""
    key = client.api_key
    planned: dict[str, object] = {}
    if isinstance(key, str) and key:
        planned["authorization"] = f"Bearer {key}"
    for each in (client.default_headers, headers):
        if isinstance(each, Mapping):
            planned.update((name.lower(), value) for name, value in each.items())
    # The SDK omits a header whose value is not a string.
    return credentials_in(((name, value) for name, value in planned.items() if isinstance(value, str)), base)


def _credentials_of(entries: list[tuple[bytes, bytes, bytes]], base: str) -> Credentials:
    headers: dict[str, str] = {}
    for _, raw_name, raw_value in filter(lambda entry: _is_identity_header(entry[1]), entries):
        name, value = _text(raw_name), _text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return credentials_in(headers.items(), base)


def _text(value: bytes) -> str:
    """Decode a header's value as httpx and httpx2 do."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def date_header(response: Any) -> bytes | None:
    """Return the raw ``Date`` header of a response."""
    for _, name, value in _entries(response.headers):  # a generator is half as fast
        if name == b"date":
            return value
    return None


@lru_cache(maxsize=1024)
def _is_identity_header(name: bytes) -> bool:
    return is_credential_header(name.decode("latin-1"))


def _nothing(*_: object) -> None:
    """Pick nothing out."""


def _entries(headers: Any) -> list[tuple[bytes, bytes, bytes]]:
    """Return each header's name, lower-case name and value, as both libraries store them.

    A substitute for such headers, as in a program's tests, is read if it is a mapping.
    """
    entries = getattr(headers, "_list", None)
    if type(entries) is list:
        return entries
    if not isinstance(headers, Mapping):
        return []
    pairs = [(str(name).encode(), str(value).encode()) for name, value in headers.items()]
    return [(name, name.lower(), value) for name, value in pairs]
