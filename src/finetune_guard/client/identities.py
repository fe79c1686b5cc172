"""The credentials that requests are sent with, and the organizations that their answers name."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any

import openai

from finetune_guard.client.sdk_compat import http_client, puts_the_key_in_later
from finetune_guard.domain.organizations import (
    Credentials,
    organization_slug,
    project_id,
    sent_with,
    tells_whose,
)
from finetune_guard.recording.notes import Subject

_MOST_REMEMBERED = 1_000
_LONGEST_NAME = 129
"""A header as long as that names no organization, and no more of it is kept."""


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
        self._http_clients: weakref.WeakKeyDictionary[Any, _Rewriting] = weakref.WeakKeyDictionary()
        # The client of the request that was looked through last, how many headers that had, and what picks
        # out those that tell whose it was. One value, since other threads replace it.
        self._layout: tuple[Callable[[], Any], int, Callable[[Any], object]] = _nothing, 0, _nothing

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
        self, client: Any, base: str, options: Any, response: Any, *, lasting: bool
    ) -> tuple[Subject, bytes | None]:
        """Return whom an answer is about, and its Date; learn from it when it is the first of its kind.

        One pass over all headers is several times faster than looking up each.

        Args:
            client: Who has sent the request.
            base: Where the request was sent.
            options: The SDK's options of the request.
            response: The response of httpx or httpx2.
            lasting: Whether the answer itself is recorded, so that more of it may be written as well.
        """
        request, answer = response.request.headers, response.headers
        try:  # as _entries does, for both libraries
            sent_entries, entries = request._list, answer._list  # noqa: SLF001
        except AttributeError:
            sent_entries = entries = None
        if type(sent_entries) is not list or type(entries) is not list:
            sent_entries, entries = _entries(request), _entries(answer)
        has_own, (latest, count, telling) = type(options.headers) is not openai.NotGiven, self._layout
        if has_own or latest() is not client or count != len(sent_entries):
            telling = self._look_through(client, sent_entries, has_own)
        organization, date = b"", None
        for _, name, value in entries:
            if name == b"date":
                date = value if date is None else date + b", " + value
            elif name == b"openai-organization":
                organization = organization + b", " + value if organization else value
        organization = organization[:_LONGEST_NAME]
        about = id(http_client(client)), base, organization, lasting
        named = about, telling(sent_entries)
        subject = self._subjects.get(named)
        if subject is None:
            named = about, self._look_through(client, sent_entries, has_own)(sent_entries)
            subject = self._subjects.get(named)
        if subject is None:
            subject = Subject(organization_slug(_text(organization)), _sent_with(sent_entries, base))
            project = answer.get("openai-project") if lasting else None
            self._remember(named, subject, client, _planned(client, base, options.headers), project)
        elif self._rewritten and named in self._rewritten:
            self._rewriting(client).sent[self._rewritten[named]] = subject.credentials
        return subject, date

    def _look_through(
        self, client: Any, entries: list[tuple[bytes, bytes, bytes]], has_own: bool
    ) -> Callable[[Any], object]:
        """Return what picks the headers out of a request that tell whose it is.

        It holds for all requests of one client that have as many headers, and none of their own.
        """
        places = [place for place, (_, name, _) in enumerate(entries) if _tells_whose(name)]
        telling = itemgetter(*places) if places else _nothing
        if not has_own:
            self._layout = weakref.ref(client), len(entries), telling
        return telling

    def _remember(
        self, named: tuple[object, ...], subject: Subject, client: Any, planned: Credentials, project: object
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


def _sent_with(entries: list[tuple[bytes, bytes, bytes]], base: str) -> Credentials:
    headers: dict[str, str] = {}
    for name, value in ((_text(name), _text(value)) for _, name, value in entries if _tells_whose(name)):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return sent_with(headers.items(), base)


def _text(value: bytes) -> str:
    """Return a header's value as httpx and httpx2 read it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def date_of(response: Any) -> bytes | None:
    """Return the ``Date`` of an answer as it came."""
    for _, name, value in _entries(response.headers):  # a generator would take twice as long
        if name == b"date":
            return value
    return None


@lru_cache(maxsize=1024)
def _tells_whose(name: bytes) -> bool:
    return tells_whose(name.decode("latin-1"))


def _nothing(*_: object) -> None:
    """Pick nothing out."""


def _entries(headers: Any) -> list[tuple[bytes, bytes, bytes]]:
    """Return name as written, name in lower case and value of each header, as both libraries keep them.

    What only stands in for such headers, as in a program's tests, is read if it is a mapping.
    """
    entries = getattr(headers, "_list", None)
    if type(entries) is list:
        return entries
    if not isinstance(headers, Mapping):
        return []
    named = [(str(name).encode(), str(value).encode()) for name, value in headers.items()]
    return [(name, name.lower(), value) for name, value in named]
