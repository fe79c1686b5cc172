"""Which history belongs to which credentials, and what else an organization is called.

A history is called by the organization's slug as soon as a response has named it, by its ``org-`` id
while only that is known, and by a hash of key and request header before. Other names are linked to
it in the store, and what was kept under them is merged into it.

Only the API's own word joins two slugs: jobs whose bodies name one organization by its id while their
headers name it by one slug and later by another. That an answer named both is kept beside the link. The
``OpenAI-Organization`` header of a request is the program's word, which a gateway may ignore; by it an
id is linked to a slug as long as nothing better is known, and no two slugs to each other.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from finetune_guard.domain.organizations import (
    PROOF_PREFIX,
    UNNAMED,
    Credentials,
    is_slug,
    organization_id,
    project_id,
)
from finetune_guard.recording.notes import Subject
from finetune_guard.stores.base import Store

_MOST_KNOWN = 1_000
_MOST_STEPS = 5
_MOST_LINKED_KEYS = 1_000
"""How many keys one process links: tokens that change with every request must not fill a store."""
_MOST_ORGANIZATIONS = 10_000
"""How many one process names: a server that calls itself anew at every answer must not fill one, either."""
_MOST_NAMES = 1_000
"""How many ids and projects are believed of one organization at a time."""


class Names:
    """What one process knows of the names in a store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slugs: dict[Credentials, str] = {}
        self._linked: dict[Credentials, str] = {}
        self._linked_keys = 0
        self._organizations: set[str] = set()
        self._salt: bytes | None = None

    def learn(self, subject: Subject) -> None:
        """Remember in this process which organization the credentials belong to. Costs no I/O."""
        slug = subject.organization
        if slug is not None and self._slugs.get(subject.credentials) != slug and self._is_admitted(slug):
            _keep(self._slugs, subject.credentials, slug)

    def known(self, credentials: Credentials) -> str | None:
        """Return the slug of the credentials' organization if this process knows it. Costs no I/O."""
        return self._slugs.get(credentials)

    def history_of(self, credentials: Credentials) -> str:
        """Return what the credentials' history is called. Reads the store until a slug is known."""
        known = self._slugs.get(credentials)
        if known is not None:
            return known
        own_id, alias = organization_id(credentials.organization), self.alias(credentials)
        name = resolved(self._store, alias) if alias is not None else UNNAMED
        if is_slug(name):
            _keep(self._linked, credentials, name)
        elif name == (alias or UNNAMED) and own_id is not None:
            name = resolved(self._store, own_id)
        if is_slug(name):
            _keep(self._slugs, credentials, name)
        return name

    def moved(self, credentials: Credentials, slug: str) -> str:
        """Return what ``slug`` is called now; another process may have learnt that it has a new name."""
        name = resolved(self._store, slug)
        if name != slug:
            _keep(self._slugs, credentials, name)
        return name

    def alias(self, credentials: Credentials) -> str | None:
        """Return the name that stands for the credentials themselves; None before anything was written."""
        if self._salt is None:
            self._salt = self._store.salt(create=False)
        return credentials.alias(self._salt) if self._salt is not None else None

    def is_linked(self, credentials: Credentials) -> bool:
        """Whether the store knows the name too, so that nothing more is kept under the alias."""
        return self._linked.get(credentials) == self._slugs.get(credentials)

    def former(self, credentials: Credentials) -> str | None:
        """Return under which name something may be kept from before the slug was known, if under any."""
        alias = self.alias(credentials) if not self.is_linked(credentials) else None
        name = resolved(self._store, alias) if alias is not None else None
        return name if name is not None and not is_slug(name) else None

    def write(self, subject: Subject, proven: Collection[str]) -> str:
        """Link the names of ``subject`` in the store; return what its history is called.

        Args:
            subject: The organization's slug, if a response named it, and what the request was sent with.
            proven: Ids of the organization and its projects, by the API's own word.
        """
        if subject.organization is not None and not self._is_admitted(subject.organization):
            subject = subject._replace(organization=None)
        proven = list(islice(proven, _MOST_NAMES))
        salt = self._store.salt(create=True)
        assert salt is not None
        if salt != self._salt:  # a new database, perhaps, that knows nothing yet
            self._salt = salt
            self._linked.clear()
        claimed = organization_id(subject.credentials.organization)
        ids = set(filter(None, map(organization_id, proven)))
        # A gateway that shows the jobs of several organizations proves nothing about any.
        proven_id = ids.pop() if len(ids) == 1 else None
        name = self._name(subject, subject.credentials.alias(salt), claimed, proven_id)
        if proven_id is not None and subject.organization is not None:
            self._join(proven_id, name)
        for project in filter(None, map(project_id, proven)):
            self._link(project, name)
        return name

    def _name(self, subject: Subject, alias: str, claimed: str | None, proven: str | None) -> str:
        if subject.organization is not None:
            name = resolved(self._store, subject.organization)
            if self._linked.get(subject.credentials) != name:
                if self._linked_keys < _MOST_LINKED_KEYS:
                    self._link(alias, name)
                    self._linked_keys += 1
                if claimed is not None and self._store.organization_of(PROOF_PREFIX + claimed) is None:
                    self._link(claimed, name)
                _keep(self._linked, subject.credentials, name)
            return name
        name = resolved(self._store, alias)
        own_id = proven or (claimed if not is_slug(name) else None)
        if own_id is None:
            return name
        if proven is not None:
            self._prove(proven)
        by_id = resolved(self._store, own_id)
        if is_slug(name) and not is_slug(by_id):
            self._link(own_id, name)
            return name
        self._link(alias, by_id)
        return by_id

    def _is_admitted(self, slug: str) -> bool:
        """Whether a slug is one that this process knows, or can still take in; else its key stands for it."""
        if slug not in self._organizations and len(self._organizations) >= _MOST_ORGANIZATIONS:
            return False
        self._organizations.add(slug)
        return True

    def _prove(self, own_id: str) -> None:
        """Take what a request's header said of an id back: the API has named it, without a slug so far."""
        if self._store.organization_of(PROOF_PREFIX + own_id) is None:
            if self._store.organization_of(own_id) is not None:
                self._store.link(own_id, own_id)
            self._store.link(PROOF_PREFIX + own_id, own_id)

    def _join(self, own_id: str, name: str) -> None:
        """Link an id to the slug that an answer named with it; join the slug that an earlier one named."""
        before = self._store.organization_of(PROOF_PREFIX + own_id)
        if before is not None:
            before = resolved(self._store, before)
            if before != name:
                self._link(name, name)  # else two names that change places would point at each other
                self._link(before, name)
        self._link(own_id, name)
        self._link(PROOF_PREFIX + own_id, name)

    def _link(self, alias: str, name: str) -> None:
        if self._store.organization_of(alias) != name and (alias != name or is_slug(name)):
            self._store.link(alias, name)


def resolved(store: Store, name: str) -> str:
    """Return what ``name`` stands for in the end; itself if it stands for nothing else."""
    for _ in range(_MOST_STEPS):
        further = store.organization_of(name)
        if further is None or further == name:
            break
        name = further
    return name


def _keep(names: dict[Credentials, str], credentials: Credentials, name: str) -> None:
    if len(names) >= _MOST_KNOWN and credentials not in names:
        names.clear()
    names[credentials] = name
