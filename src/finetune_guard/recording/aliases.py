"""The names that an organization's history is kept under, and how one name is linked to a better one.

A history is called by the organization's slug as soon as a response has named it, by its ``org-`` id while
only that is known, and by a hash of the credentials before. Each name is linked to the better one in the
store, which merges what was kept under it. Names that lead to a history are linked before the credentials
that led to them, so that whoever reads meanwhile finds the evidence.

Only the API's own word joins two slugs: jobs whose bodies name one organization by its id while their
headers name it by one slug and later by another. The ``OpenAI-Organization`` header of a request is the
program's word, which a gateway may ignore: it links an id to a slug as long as nothing better is known.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from finetune_guard.domain.organizations import (
    PROOF_PREFIX,
    Credentials,
    is_slug,
    organization_id,
    project_id,
)
from finetune_guard.recording.notes import Subject
from finetune_guard.stores.base import Store

_MOST_KNOWN = 1_000
_MOST_STEPS = 20
# Of one process: tokens that change with every request, and servers that call themselves anew at every
# answer, must not fill a store.
_MOST_LINKED_KEYS = 1_000
_MOST_ORGANIZATIONS = 10_000
_MOST_NAMES = 1_000  # ids and projects at a time


class Aliases:
    """What one process knows of the names in a store. Safe to use from several threads.

    Attributes:
        last_named: The subject of the latest answer: to name it once more would change nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered: dict[Credentials, str] = {}
        self._settled: dict[Credentials, str] = {}
        self._linked_keys = 0
        self._organizations: set[str] = set()
        self._salt: bytes | None = None
        self.last_named: Subject | None = None

    def name(self, subject: Subject) -> None:
        """Remember which organization an answer has named for the credentials. Costs no I/O."""
        slug, credentials = subject.organization, subject.credentials
        if subject is self.last_named or slug is None:
            return
        if self._answered.get(credentials) != slug and self._is_admitted(slug):
            self._settled.pop(credentials, None)
            _keep(self._answered, credentials, slug)
        self.last_named = subject

    def answered(self, credentials: Credentials) -> str | None:
        """Return the slug that an answer has named for the credentials in this process. Costs no I/O."""
        return self._answered.get(credentials)

    def organizations(self) -> dict[str, Credentials]:
        """Return the slugs that are known without the store, each with credentials of it. Costs no I/O."""
        known = [*self._settled.copy().items(), *self._answered.copy().items()]
        return {slug: credentials for credentials, slug in known}

    def names_of(self, credentials: Credentials) -> tuple[str, ...]:
        """Return the names that the credentials' history may be kept under, the best one last.

        Reads the store until the credentials are linked to a slug there.
        """
        settled = self._settled.get(credentials)
        if settled is not None:
            return (settled,)
        if self._salt is None:
            self._salt = self._store.salt(create=False)
        alias = credentials.alias(self._salt) if self._salt is not None else None
        stored = resolved(self._store, alias) if alias is not None else None
        slug, own_id = self._answered.get(credentials), organization_id(credentials.organization)
        if slug is not None:
            if stored == slug:
                _keep(self._settled, credentials, slug)
            return (slug,) if stored is None or is_slug(stored) else (stored, slug)
        if stored == alias and own_id is not None:
            stored = resolved(self._store, own_id)
        if stored is not None and is_slug(stored):
            _keep(self._settled, credentials, stored)
        return (stored,) if stored is not None else ()

    def may_have_moved(self, credentials: Credentials, name: str) -> bool:
        """Whether the history may have got another name, after nothing was found under ``name``.

        Another thread or process may have joined it to a better one meanwhile.
        """
        if not is_slug(name):
            return True
        better = resolved(self._store, name)
        if better == name:
            return False
        self._settled.pop(credentials, None)
        if credentials in self._answered:
            _keep(self._answered, credentials, better)
        return True

    def write(self, subject: Subject, proven: Collection[str]) -> str:
        """Link the names of ``subject`` in the store; return what its history is called."""
        proven = list(islice(proven, _MOST_NAMES))
        salt = self._store.salt(create=True)
        assert salt is not None
        if salt != self._salt:  # a new database, perhaps, that knows nothing yet
            self._salt = salt
            self._settled.clear()
        ids = set(filter(None, map(organization_id, proven)))
        # A gateway that shows the jobs of several organizations proves nothing about any.
        proven_id = ids.pop() if len(ids) == 1 else None
        alias = subject.credentials.alias(salt)
        if subject.organization is not None and self._is_admitted(subject.organization):
            name = self._write_named(subject.organization, subject.credentials, alias, proven_id)
        else:
            name = self._write_unnamed(subject.credentials, alias, proven_id)
        for project in filter(None, map(project_id, proven)):
            self._link(project, name)
        return name

    def collect(self, name: str) -> None:
        """Bring along what was written under ``name`` while another process joined that to a better one."""
        better = resolved(self._store, name)
        if better != name:
            self._store.link(name, better)

    def _write_named(self, slug: str, credentials: Credentials, alias: str, proven: str | None) -> str:
        name = resolved(self._store, slug)
        if proven is not None:
            self._join(proven, name)
        if self._settled.get(credentials) == name:
            return name
        former, claimed = resolved(self._store, alias), organization_id(credentials.organization)
        if former != alias and not is_slug(former):  # the id that the history had while no slug was known
            self._link(former, name)
        if claimed is not None and self._store.organization_of(PROOF_PREFIX + claimed) is None:
            self._link(claimed, name)
        if self._linked_keys < _MOST_LINKED_KEYS:
            self._linked_keys += self._link(alias, name)
        if self._answered.get(credentials, name) == slug:
            _keep(self._answered, credentials, name)
            _keep(self._settled, credentials, name)
        return name

    def _write_unnamed(self, credentials: Credentials, alias: str, proven: str | None) -> str:
        name = resolved(self._store, alias)
        own_id = proven or (organization_id(credentials.organization) if not is_slug(name) else None)
        if own_id is None:
            return name
        if proven is not None and self._store.organization_of(PROOF_PREFIX + own_id) is None:
            # Take back what requests' headers said of the id: the API has named it, without a slug so far.
            if self._store.organization_of(own_id) is not None:
                self._store.link(own_id, name if is_slug(name) else own_id)
            self._store.link(PROOF_PREFIX + own_id, own_id)
        by_id = resolved(self._store, own_id)
        if is_slug(name) and not is_slug(by_id):
            self._link(own_id, name)
            return name
        self._link(alias, by_id)
        return by_id

    def _join(self, own_id: str, name: str) -> None:
        """Link an id to the slug that an answer named with it; join the slug that an earlier one named."""
        before = self._store.organization_of(PROOF_PREFIX + own_id)
        if before is not None and is_slug(before):
            self._link(resolved(self._store, before), name)
        self._link(own_id, name)
        self._link(PROOF_PREFIX + own_id, name)

    def _link(self, alias: str, name: str) -> bool:
        """Link ``alias`` to ``name`` unless it is; return whether it wasn't."""
        if alias == name or self._store.organization_of(alias) == name:
            return False
        self._store.link(alias, name)
        return True

    def _is_admitted(self, slug: str) -> bool:
        """Whether a slug is one that this process knows, or can still take in; else its key stands for it."""
        if slug not in self._organizations and len(self._organizations) >= _MOST_ORGANIZATIONS:
            return False
        self._organizations.add(slug)
        return True


def resolved(store: Store, name: str) -> str:
    """Return what ``name`` stands for in the end; itself if it stands for nothing else."""
    passed = [name]
    while len(passed) <= _MOST_STEPS:
        further = store.organization_of(passed[-1])
        if further is None or further == passed[-1]:
            break
        if further in passed:  # two processes have linked two names to each other: all agree on one
            return min(passed[passed.index(further) :])
        passed.append(further)
    return passed[-1]


def _keep(names: dict[Credentials, str], credentials: Credentials, name: str) -> None:
    if len(names) >= _MOST_KNOWN and credentials not in names:
        names.clear()
    names[credentials] = name
