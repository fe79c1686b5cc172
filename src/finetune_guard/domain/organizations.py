"""Who a request was made for: the names that one organization goes by.

* The **slug** that the API names in the ``openai-organization`` response header, such as ``acme-28gund``.
  It is what a history is called as soon as it is known.
* The **id**, ``org-…``, in the bodies of jobs and in the ``OpenAI-Organization`` request header. Where a
  gateway strips the response's headers it is the best name there is.
* A **key**, with the request header it was sent with: a salted hash of both stands for them.
* **Projects**, ``proj_…``: parts of one organization.

All but the slug are aliases of it, learnt from responses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_LONGEST_SLUG = 128
_ID = re.compile(r"org-[A-Za-z0-9]{1,64}")
_PROJECT = re.compile(r"proj_[A-Za-z0-9]{1,64}")

ALIAS_PREFIX = "key:"
"""How a history is named whose organization isn't known yet; no slug and no id has a colon."""
PROOF_PREFIX = "proof:"
"""Before an organization's id: an alias of the slug that the API has named in the same answer as the id."""
UNNAMED = "key:"
"""The name of no history: nothing at all is known about the credentials."""


class Credentials(NamedTuple):
    """What a request is sent with that tells whose it is. It never shows the key.

    Attributes:
        authorization: The ``Authorization`` header; empty when it isn't known before the request.
        organization: The ``OpenAI-Organization`` request header, if any.
    """

    authorization: str
    organization: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(authorization='...', organization={self.organization!r})"

    def alias(self, salt: bytes) -> str:
        """Return the salted hash that stands for these credentials; the key can't be read from it."""
        digest = blake2b(key=salt[:64], digest_size=16, person=b"finetune-guard")
        digest.update(self.authorization.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
        digest.update((self.organization or "").encode("utf-8", "surrogatepass"))
        return ALIAS_PREFIX + digest.hexdigest()


def sent_with(request_headers: Mapping[str, str]) -> Credentials:
    """Return what a request was sent with, from its headers."""
    return Credentials(
        request_headers.get("authorization") or "", request_headers.get("openai-organization") or None
    )


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
