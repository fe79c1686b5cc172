"""The names of an organization's history in a store, and links from each name to a better one.

A history's name is the organization's slug once a response has named it, before that the ``org-`` id if
known, else a hash of the credentials. The store links each name to the better one and merges their
histories. Other names are linked before the credentials, so that a concurrent reader finds the evidence.

Only the API itself can join two slugs: jobs whose bodies name one organization by its id while their headers
name it by one slug and later by another. The ``OpenAI-Organization`` header of a request comes from the
program, and a gateway may ignore it: it links an id to a slug only while nothing better is known.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.organizations import (
    PROOF_PREFIX,
    Credentials,
    Subject,
    is_slug,
    organization_id,
    project_id,
)
from finetune_guard.stores.base import Store

_MOST_STEPS = 20
# Limits for one process: tokens that change with every request, and servers that use a new name in every
# response, must not fill a store.
_MOST_LINKED_KEYS = 1_000
_MOST_ORGANIZATIONS = 10_000
_MOST_NAMES = 1_000  # ids and projects at a time


class Aliases:
    """The names in a store, as known to one process. Thread-safe.

    Attributes:
        last_named: The last subject recorded: recording it again changes nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: Bounded[Credentials, str] = Bounded()
        self._stored: Bounded[Credentials, str] = Bounded()
        self._linked_keys = 0
        self._organizations: set[str] = set()
        self._salt: bytes | None = None
        self.last_named: Subject | None = None

    def record_organization(self, subject: Subject) -> None:
        """Remember which organization a response named for the credentials. No I/O."""
        slug, credentials = subject.organization, subject.credentials
        if subject is self.last_named or slug is None:
            return
        if self._seen.get(credentials) != slug and self._may_add(slug):
            self._stored.pop(credentials, None)
            self._seen[credentials] = slug
        self.last_named = subject

    def known_organization(self, credentials: Credentials) -> str | None:
        """Return the slug that a response to this process named for the credentials. No I/O."""
        return self._seen.get(credentials)

    def organizations(self) -> dict[str, Credentials]:
        """Return the slugs known to this process, each with its credentials. No I/O."""
        known = [*self._stored.copy().items(), *self._seen.copy().items()]
        return {slug: credentials for credentials, slug in known}

    def names_of(self, credentials: Credentials) -> tuple[str, ...]:
        """Return the possible names of the credentials' history, the best one last.

        Reads the store until the credentials are linked to a slug there.
        """
        stored_slug = self._stored.get(credentials)
        if stored_slug is not None:
            return (stored_slug,)
        if self._salt is None:
            self._salt = self._store.salt(create=False)
        alias = credentials.alias(self._salt) if self._salt is not None else None
        stored = resolve(self._store, alias) if alias is not None else None
        slug, own_id = self._seen.get(credentials), organization_id(credentials.organization)
        if slug is not None:
            if stored == slug:
                self._stored[credentials] = slug
            return (slug,) if stored is None or is_slug(stored) else (stored, slug)
        if stored == alias and own_id is not None:
            stored = resolve(self._store, own_id)
        if stored is not None and is_slug(stored):
            self._stored[credentials] = stored
        return (stored,) if stored is not None else ()

    def may_have_moved(self, credentials: Credentials, name: str) -> bool:
        """Whether the history may have another name by now, if nothing was found under ``name``.

        Another thread or process may have linked it to a better one meanwhile.
        """
        if not is_slug(name):
            return True
        better = resolve(self._store, name)
        if better == name:
            return False
        self._stored.pop(credentials, None)
        if credentials in self._seen:
            self._seen[credentials] = better
        return True

    def link_subject(self, subject: Subject, proven: Collection[str]) -> str:
        """Link the names of ``subject`` in the store; return the name of its history."""
        proven = list(islice(proven, _MOST_NAMES))
        salt = self._store.salt(create=True)
        assert salt is not None
        if salt != self._salt:  # perhaps a new, empty database
            self._salt = salt
            self._stored.clear()
        ids = set(filter(None, map(organization_id, proven)))
        # A gateway that lists jobs of several organizations proves nothing about any.
        proven_id = ids.pop() if len(ids) == 1 else None
        alias = subject.credentials.alias(salt)
        if subject.organization is not None and self._may_add(subject.organization):
            name = self._link_named(subject.organization, subject.credentials, alias, proven_id)
        else:
            name = self._link_unnamed(subject.credentials, alias, proven_id)
        for project in filter(None, map(project_id, proven)):
            self._link(project, name)
        return name

    def move_if_renamed(self, name: str) -> None:
        """Move facts written under ``name`` if another process has linked it to a better name."""
        better = resolve(self._store, name)
        if better != name:
            self._store.link(name, better)

    def _link_named(self, slug: str, credentials: Credentials, alias: str, proven: str | None) -> str:
        name = resolve(self._store, slug)
        if proven is not None:
            self._join(proven, name)
        if self._stored.get(credentials) == name:
            return name
        former, claimed = resolve(self._store, alias), organization_id(credentials.organization)
        if former != alias and not is_slug(former):  # the history's id before its slug was known
            self._link(former, name)
        if claimed is not None and self._store.organization_of(PROOF_PREFIX + claimed) is None:
            self._link(claimed, name)
        if self._linked_keys < _MOST_LINKED_KEYS:
            self._linked_keys += self._link(alias, name)
        if self._seen.get(credentials, name) == slug:
            self._seen[credentials] = name
            self._stored[credentials] = name
        return name

    def _link_unnamed(self, credentials: Credentials, alias: str, proven: str | None) -> str:
        name = resolve(self._store, alias)
        own_id = proven or (organization_id(credentials.organization) if not is_slug(name) else None)
        if own_id is None:
            return name
        if proven is not None and self._store.organization_of(PROOF_PREFIX + own_id) is None:
            # Undo links of the id from request headers: the API has named it, so far without a slug.
            if self._store.organization_of(own_id) is not None:
                self._store.link(own_id, name if is_slug(name) else own_id)
            self._store.link(PROOF_PREFIX + own_id, own_id)
        by_id = resolve(self._store, own_id)
        if is_slug(name) and not is_slug(by_id):
            self._link(own_id, name)
            return name
        self._link(alias, by_id)
        return by_id

    def _join(self, own_id: str, name: str) -> None:
        """Link an id to the slug in the same response, and an earlier slug of that id, too."""
        before = self._store.organization_of(PROOF_PREFIX + own_id)
        if before is not None and is_slug(before):
            self._link(resolve(self._store, before), name)
        self._link(own_id, name)
        self._link(PROOF_PREFIX + own_id, name)

    def _link(self, alias: str, name: str) -> bool:
        """Link ``alias`` to ``name`` if it is not linked yet; return whether it was new."""
        if alias == name or self._store.organization_of(alias) == name:
            return False
        self._store.link(alias, name)
        return True

    def _may_add(self, slug: str) -> bool:
        """Whether a slug is known or there is room for it; else the credentials' hash is used."""
        if slug not in self._organizations and len(self._organizations) >= _MOST_ORGANIZATIONS:
            return False
        self._organizations.add(slug)
        return True


def resolve(store: Store, name: str) -> str:
    """Follow the links from ``name`` to the last one; return ``name`` itself if it has none."""
    chain = [name]
    while len(chain) <= _MOST_STEPS:
        target = store.organization_of(chain[-1])
        if target is None or target == chain[-1]:
            break
        if target in chain:  # a cycle, linked by two processes: all choose the same name
            return min(chain[chain.index(target) :])
        chain.append(target)
    return chain[-1]
