"""The credentials that requests are sent with, and the organizations that their answers name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from finetune_guard.client.responses import headers_seen
from finetune_guard.client.sdk_compat import http_client, puts_the_key_in_later
from finetune_guard.domain.organizations import (
    Credentials,
    organization_slug,
    project_id,
    sent_with,
)
from finetune_guard.recording.notes import Subject

_MOST_REMEMBERED = 1_000
_LONGEST_NAME = 128
"""A longer header names no organization, and is not kept."""


class Identities:
    """Whose the requests of a client and its copies are.

    A decision comes before its request, so that it must know what that will be sent with. Where an HTTP
    client or the SDK puts the key in later, that is what the latest request of the same HTTP client was
    really sent with. Before there is one, a placeholder keeps such clients apart.
    """

    def __init__(self, learn: Callable[[Subject, str | None, Credentials | None], None]) -> None:
        self._learn = learn
        self._subjects: dict[tuple[object, ...], Subject] = {}
        self._rewritten: dict[tuple[object, ...], Credentials] = {}
        self._http_clients: WeakKeyDictionary[Any, _Rewriting] = WeakKeyDictionary()

    def credentials(self, client: Any, base: str, headers: object = None) -> Credentials:
        """Return what a request with ``headers`` of its own to ``base`` will be sent with."""
        planned = _planned(client, base, headers)
        rewriting = self._http_clients.get(http_client(client))
        if rewriting is not None and planned in rewriting.sent:
            return rewriting.sent[planned]
        if planned.has_key and not puts_the_key_in_later(client):
            return planned
        return self._rewriting(client).placeholder(planned)

    def subject(
        self,
        client: Any,
        base: str,
        options: Any,
        response: Any,
        *,
        lasting: bool,
    ) -> tuple[Subject, bytes | None]:
        """Return whom an answer is about, and its Date; learn from it when it is the first of its kind.

        Args:
            client: Who has sent the request.
            base: Where the request was sent.
            options: The SDK's options of the request.
            response: The response of httpx or httpx2.
            lasting: Whether the answer itself is recorded, so that more of it may be written as well.
        """
        sent, organization, date = headers_seen(response)
        if organization is not None and len(organization) > _LONGEST_NAME:
            organization = None
        named = id(http_client(client)), base, sent, organization, lasting
        subject = self._subjects.get(named)
        if subject is None:
            slug = organization_slug(_text(organization)) if organization is not None else None
            subject = Subject(slug, _sent_with(sent, base))
            project = response.headers.get("openai-project") if lasting else None
            self._remember(named, subject, client, _planned(client, base, options.headers), project)
        elif self._rewritten and named in self._rewritten:
            self._rewriting(client).sent[self._rewritten[named]] = subject.credentials
        return subject, date

    def _remember(
        self,
        named: tuple[object, ...],
        subject: Subject,
        client: Any,
        planned: Credentials,
        project: object,
    ) -> None:
        if len(self._subjects) >= _MOST_REMEMBERED:
            self._subjects.clear()
            self._rewritten.clear()
        placeholder = None
        if planned != subject.credentials or puts_the_key_in_later(client):
            rewriting = self._rewriting(client)
            rewriting.remember(planned, subject.credentials)
            placeholder = rewriting.placeholder(planned)
            self._rewritten[named] = planned
        self._learn(subject, project_id(project), placeholder)
        self._subjects[named] = subject

    def _rewriting(self, client: Any) -> _Rewriting:
        http = http_client(client)
        known = self._http_clients.get(http)
        return known if known is not None else self._http_clients.setdefault(http, _Rewriting())


class _Rewriting:
    """What one HTTP client has made of the credentials that requests were to be sent with."""

    def __init__(self) -> None:
        self.sent: dict[Credentials, Credentials] = {}
        self._token = secrets.token_hex(16)

    def remember(self, planned: Credentials, sent: Credentials) -> None:
        if len(self.sent) >= _MOST_REMEMBERED:
            self.sent.clear()
        self.sent[planned] = sent

    def placeholder(self, planned: Credentials) -> Credentials:
        """Return what stands for the credentials until a request was sent; no header can have its name."""
        return planned._replace(keys=(*planned.keys, (":http-client", self._token)))


def _planned(client: Any, base: str, headers: object) -> Credentials:
    """Return what the SDK itself will send; later headers win, whatever their case."""
    key = client.api_key
    planned: dict[str, object] = {}
    if isinstance(key, str) and key:
        planned["authorization"] = f"Bearer {key}"
    for each in (client.default_headers, headers):
        if isinstance(each, Mapping):
            planned.update((name.lower(), value) for name, value in each.items())
    # A value that is no text is the SDK's way to leave a header out.
    return sent_with(((name, value) for name, value in planned.items() if isinstance(value, str)), base)


def _sent_with(sent: tuple[bytes, ...], base: str) -> Credentials:
    headers: dict[str, str] = {}
    for name, value in zip(map(_text, sent[::2]), map(_text, sent[1::2]), strict=True):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return sent_with(headers.items(), base)


def _text(value: bytes) -> str:
    """Return a header's value as httpx and httpx2 read it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
