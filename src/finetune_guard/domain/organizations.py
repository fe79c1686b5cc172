"""The names of an organization, and which of them a request or an answer tells.

* The **slug**, such as ``acme-28gund``, in the ``openai-organization`` response header. It is what a history
  is called as soon as it is known; all else is an alias of it, learnt from responses.
* The **id**, ``org-...``, in the bodies of jobs and in the ``OpenAI-Organization`` request header. Where a
  gateway strips the response's headers it is the best name there is.
* **Credentials**: the keys that a request was sent with, the ``OpenAI-Organization`` header beside them, and
  where it was sent. A salted hash stands for them.
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
"""Words of header names that hold something else under the name of a key, often another at each request."""

ALIAS_PREFIX = "key:"
"""How a history is named whose organization isn't known yet; no slug and no id has a colon."""
PROOF_PREFIX = "proof:"
"""Before an organization's id: an alias of the slug that the API has named in the same answer as the id."""
UNNAMED = "key:"
"""The name of no history: nothing at all is known about the credentials."""


class Credentials(NamedTuple):
    """What a request is sent with that tells whose it is. It never shows a key.

    ``base`` is where it is sent, as ``base_of`` writes it; ``keys`` are name and value of every header that
    ``tells_whose`` besides ``Authorization`` and ``OpenAI-Organization``, sorted.
    """

    authorization: str
    organization: str | None = None
    base: str = ""
    keys: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Credentials(authorization='...', organization={self.organization!r}, base={self.base!r})"

    @property
    def has_key(self) -> bool:
        """Whether anything in them can be a key."""
        return bool(self.authorization or self.keys)

    def alias(self, salt: bytes) -> str:
        """Return the salted hash that stands for these credentials; the key can't be read from it."""
        digest = blake2b(key=salt[:64], digest_size=16, person=b"finetune-guard")
        named = (self.base, self.authorization, self.organization or "")
        for part in (*named, *(text for header in self.keys for text in header)):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return ALIAS_PREFIX + digest.hexdigest()


@lru_cache(maxsize=256)
def is_credential_header(header: str) -> bool:
    """Whether a request header, by its name in lower case, can tell whose the request is.

    That is ``OpenAI-Organization`` and every header whose name says that it holds a key: ``X-API-Key``...
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
    """Return the organization that a response header names, or None when it names none sanely."""
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
    """Whether a history is called by the organization's own name, and not by what stands in for it."""
    return not history.startswith(ALIAS_PREFIX)


def is_slug(name: str) -> bool:
    """Whether ``name`` is an organization's slug: the name that stands in for no other."""
    return is_named(name) and organization_id(name) is None
