"""Who a request was made for: the names that one organization goes by.

The API names an organization by a slug in the ``openai-organization`` response header. A key, with
the ``OpenAI-Organization`` header it was sent with, is an alias of it that is learnt from responses.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
ALIAS_PREFIX = "key:"
"""How a history is named whose organization's slug isn't known yet; no slug has a colon."""
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
        digest.update(self.authorization.encode("utf-8", "surrogateescape"))
        digest.update(b"\0")
        digest.update((self.organization or "").encode("utf-8", "surrogateescape"))
        return ALIAS_PREFIX + digest.hexdigest()


def organization_slug(header: str | None) -> str | None:
    """Return the organization that a response header names, or None when it names none sanely."""
    return header if header is not None and _SLUG.fullmatch(header) else None


def is_slug(name: str) -> bool:
    """Whether a history's name is the organization's own, and not what stands in for it."""
    return not name.startswith(ALIAS_PREFIX)
