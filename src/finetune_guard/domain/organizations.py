"""The names of an organization, and how to read them from requests and responses.

* The **slug**, such as ``acme-28gund``, in the ``openai-organization`` response header. A history has
  this name as soon as it is known; all other names are aliases of it, learned from responses.
* The **id**, ``org-...``, in the bodies of jobs and in the ``OpenAI-Organization`` request header. If a
  gateway strips the response headers, it is the best name available.
* **Credentials**: the keys of a request, its ``OpenAI-Organization`` header, and the base URL. They are
  stored as a salted hash.
* **Projects**, ``proj_...``: parts of one organization.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_LONGEST_SLUG = 128
_ID = re.compile(r"org-[A-Za-z0-9]{1,64}")
_PROJECT = re.compile(r"proj_[A-Za-z0-9]{1,64}")
_ORGANIZATION = "openai-organization"
_NO_CREDENTIALS = frozenset(("cache", "csrf", "idempotency", "websocket", "xsrf"))
"""Words in the names of headers that look like credentials but are not, and often change."""

ALIAS_PREFIX = "key:"
"""The prefix of a history's name until its organization is known; no slug or id has a colon."""
PROOF_PREFIX = "proof:"
"""The prefix of an organization's id used as an alias: one response named both id and slug."""
UNNAMED = "key:"
"""A placeholder for the name of an unknown organization; no history has it."""


class Credentials(NamedTuple):
    """The parts of a request that identify its organization. Never shows a key.

    ``base`` is the base URL in the form of ``base_of``; ``keys`` are the names and values of all other
    credential headers besides ``Authorization`` and ``OpenAI-Organization``, sorted.
    """

    authorization: str
    organization: str | None = None
    base: str = ""
    keys: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Credentials(authorization='...', organization={self.organization!r}, base={self.base!r})"

    @property
    def has_key(self) -> bool:
        """Whether they contain anything that can be a key."""
        return bool(self.authorization or self.keys)

    def alias(self, salt: bytes) -> str:
        """Return the salted hash of these credentials; the key can't be recovered from it."""
        digest = blake2b(key=salt[:64], digest_size=16, person=b"finetune-guard")
        named = (self.base, self.authorization, self.organization or "")
        for part in (*named, *(text for header in self.keys for text in header)):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return ALIAS_PREFIX + digest.hexdigest()


class Subject(NamedTuple):
    """Whom a fact is about: the slug in the response, if any, and the credentials of the request."""

    organization: str | None
    credentials: Credentials


@lru_cache(maxsize=256)
def is_credential_header(header: str) -> bool:
    """Whether a request header, by its lower-case name, identifies the organization.

    These are ``OpenAI-Organization`` and every header that is named like a key, such as ``X-API-Key``.
    """
    words = re.split(r"[^a-z0-9]", header)
    if not _NO_CREDENTIALS.isdisjoint(words):
        return False
    return header == _ORGANIZATION or any(
        word.startswith("auth") or word.endswith(("auth", "key", "token")) for word in words
    )


def credentials_in(headers: Iterable[tuple[str, str]], base: str = "") -> Credentials:
    """Return the credentials that a request was sent with."""
    sent = {name: value for name, value in headers if value and is_credential_header(name)}
    authorization, organization = sent.pop("authorization", ""), sent.pop(_ORGANIZATION, None)
    return Credentials(authorization, organization, base, tuple(sorted(sent.items())))


def organization_slug(header: str | None) -> str | None:
    """Return the organization named by a response header; None if it is missing or malformed."""
    return header if header is not None and len(header) <= _LONGEST_SLUG and _is_slug(header) else None


@lru_cache(maxsize=256)
def _is_slug(header: str) -> bool:
    return _SLUG.fullmatch(header) is not None


def organization_id(value: object) -> str | None:
    """Return ``value`` if it is the id of an organization, else None."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def project_id(value: object) -> str | None:
    """Return ``value`` if it is the id of a project, else None."""
    return value if isinstance(value, str) and _PROJECT.fullmatch(value) else None


def is_named(history: str) -> bool:
    """Whether a history has the organization's own name, not an alias of credentials."""
    return not history.startswith(ALIAS_PREFIX)


def is_slug(name: str) -> bool:
    """Whether ``name`` is an organization's slug."""
    return is_named(name) and organization_id(name) is None
