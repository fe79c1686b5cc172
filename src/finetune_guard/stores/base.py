"""The contract of every store of histories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Activity
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced


@dataclass(frozen=True)
class Lease:
    """The exclusive right to do something for a limited time."""

    name: str
    token: str


class OutcomeUnknownError(StoreError):
    """Inferences may or may not have been recorded: the server's reply was lost.

    Attributes:
        again: Records the same inferences, unless already recorded, in the history of the given
            organization. It may raise a ``StoreError``: then call it again later. Calling ``record``
            instead may count them twice.
    """

    def __init__(self, message: str, *, remedy: str, again: Callable[[str], None]) -> None:
        super().__init__(message, remedy=remedy)
        self.again = again


class Store(ABC):
    """Stores the histories of organizations.

    Stores are synchronous, may be used from any thread and stay usable in a child after ``fork``.
    Opening one is cheap and touches nothing: the first call that needs a folder, file or connection
    opens it, and a read never creates one.
    Every error inside is raised as a ``StoreError`` that is chained to its cause.
    A store uses no client, policy or clock; leases use the machine's time.

    Attributes:
        location: Its location, to show to people; never contains a password.
    """

    location: str

    @property
    def identity(self) -> Hashable:
        """A key that is equal for two stores of the same histories."""
        return id(self)

    @abstractmethod
    def evidence(self, organization: str) -> Evidence:
        """Return the summary of an organization's history, empty when it has none.

        Costs one read, however long the history is.
        """

    @abstractmethod
    def history(self, organization: str) -> History:
        """Return an organization's whole history, empty if there is none."""

    @abstractmethod
    def organizations(self) -> tuple[str, ...]:
        """Return the names of all histories, sorted."""

    @abstractmethod
    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        """Add inferences to an organization's history: all of them or, on an error, none.

        Times only ever move forward and counts add up, also when several processes record at once.

        Raises:
            OutcomeUnknownError: They may have been added. Only raised by a store whose replies can be lost.
            StoreError: None of them was added.
        """

    @abstractmethod
    def merge(self, history: History) -> None:
        """Merge ``history`` into that of its organization: all of it or, on an error, nothing.

        Merging twice is the same as once: a day's count becomes the larger of the two. The cost depends on
        the size of ``history`` only.
        """

    def forget(self, organization: str, *, usage_only: bool = False) -> None:  # noqa: ARG002 -- for subclasses
        """Remove an organization's history and its aliases, or only the facts from its usage.

        Raises:
            StoreError: Nothing was removed; a custom store need not support this.
        """
        raise StoreError(f"{type(self).__name__} can't forget {organization}.", remedy="Remove it there.")

    def alerts(self, organization: str) -> Mapping[str, str]:
        """Return the state of the alerts about an organization, by subject.

        Raises:
            StoreError: It can't be read; a custom store need not support this.
        """
        raise StoreError(
            f"{type(self).__name__} can't store the state of the alerts about {organization}.",
            remedy="Set FINETUNE_GUARD_STORE to a folder or to the URL of a Redis server.",
        )

    def keep_alerts(self, organization: str, state: Mapping[str, str | None]) -> None:  # noqa: ARG002 -- for subclasses
        """Update the state of the alerts about an organization; None removes a subject."""
        self.alerts(organization)

    @abstractmethod
    def announced(self) -> Mapping[str, Announced]:
        """Return the shutdown dates from the API, by model."""

    @abstractmethod
    def announce(self, announced: Mapping[str, Announced]) -> None:
        """Store shutdown dates from the API; the latest date of each model counts."""

    @abstractmethod
    def organization_of(self, alias: str) -> str | None:
        """Return the organization that ``alias`` was last linked to, or None."""

    @abstractmethod
    def aliases(self) -> Mapping[str, str]:
        """Return every alias with what it was last linked to."""

    @abstractmethod
    def link(self, alias: str, organization: str) -> None:
        """Store that ``alias`` stands for ``organization``.

        A history under the alias is merged into the organization's, and then removed. Linking an alias
        again moves only the alias.
        """

    @abstractmethod
    def salt(self, *, create: bool) -> bytes | None:
        """Return the store's random bytes for hashing keys, the same for all its users.

        Args:
            create: Whether to create them if missing; otherwise None is returned and nothing is written.
        """

    @abstractmethod
    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        """Take the lease ``name`` until released or for ``ttl``; return None if it is taken."""

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Release ``lease``; do nothing if it has expired and another holder has it."""

    @abstractmethod
    def close(self) -> None:
        """Close files and connections; the next call opens them again."""
