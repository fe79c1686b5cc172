"""The contract of every place where histories live."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Activity
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.shutdowns import Announced


def store_error(what: str, remedy: str) -> StoreError:
    """Return the error whose message is ``what``, followed by ``remedy``."""
    return StoreError(f"{what} {remedy}", remedy=remedy)


@dataclass(frozen=True)
class Lease:
    """The right to do something alone for a limited time."""

    name: str
    token: str


class OutcomeUnknownError(StoreError):
    """Inferences may have been recorded, or not: the answer was lost on its way.

    Attributes:
        again: Records the same inferences, unless that has been done, in the history of the organization
            that it is given. It may end with a ``StoreError``: then call it once more later on. A call of
            ``record`` instead may count them twice.
    """

    def __init__(self, message: str, *, remedy: str, again: Callable[[str], None]) -> None:
        super().__init__(message, remedy=remedy)
        self.again = again


class Store(ABC):
    """Where the histories of organizations live.

    Stores are synchronous, may be used from any thread and stay usable in a child after ``fork``.
    Opening one is cheap and touches nothing: a folder, file or connection comes with the first
    call that needs it, and a read alone never creates one.
    Whatever goes wrong inside ends as a ``StoreError`` that is chained to its cause.
    A store knows no client, no policy and no clock; a lease's time is the machine's own.

    Attributes:
        location: Where it is, for people; it never shows a password.
    """

    location: str

    @property
    def place(self) -> Hashable:
        """What tells the place from every other; stores that mean the same place have the same."""
        return id(self)

    @abstractmethod
    def evidence(self, organization: str) -> Evidence:
        """Return the summary of an organization's history, empty when it has none.

        It costs one read, however long the history is.
        """

    @abstractmethod
    def history(self, organization: str) -> History:
        """Return all that is remembered about an organization, empty when there is nothing."""

    @abstractmethod
    def organizations(self) -> tuple[str, ...]:
        """Return the names of all histories, sorted."""

    @abstractmethod
    def record(self, organization: str, activities: Iterable[Activity]) -> None:
        """Add inferences to an organization's history: all of them or, on an error, none.

        Times only ever move forward and counts add up, also when several processes record at once.

        Raises:
            OutcomeUnknownError: They may have been added all the same. Only a store whose answers can be
                lost raises it.
            StoreError: None of them was added.
        """

    @abstractmethod
    def merge(self, history: History) -> None:
        """Merge what ``history`` tells into that of its organization, all of it or, on an error, nothing.

        Doing so twice is the same as once: a day's count becomes the larger of the two. It costs no more
        than what ``history`` holds, however long the other is.
        """

    def forget(self, organization: str, *, usage_only: bool = False) -> None:  # noqa: ARG002 -- for subclasses
        """Remove an organization's history and its aliases, or only what was read from its usage.

        Raises:
            StoreError: Nothing was removed; a store of another make need not be able to do so.
        """
        raise store_error(f"{type(self).__name__} can't forget {organization}.", "Remove it there.")

    def alerts(self, organization: str) -> Mapping[str, str]:
        """Return what alerts have told of an organization, by what it is about.

        Raises:
            StoreError: It can't be read; a store of another make need not be able to keep it.
        """
        raise StoreError(
            f"{type(self).__name__} can't keep what was told of {organization}.",
            remedy="Set FINETUNE_GUARD_STORE to a folder or to the URL of a Redis server.",
        )

    def keep_alerts(self, organization: str, told: Mapping[str, str | None]) -> None:  # noqa: ARG002 -- for subclasses
        """Keep what alerts have told of an organization, beside what was kept before; None removes it."""
        self.alerts(organization)

    @abstractmethod
    def announced(self) -> Mapping[str, Announced]:
        """Return what the API said about shutdown dates, by model."""

    @abstractmethod
    def announce(self, announced: Mapping[str, Announced]) -> None:
        """Remember what the API said about shutdown dates; for each model its latest word counts."""

    @abstractmethod
    def organization_of(self, alias: str) -> str | None:
        """Return the organization that ``alias`` was last linked to, or None."""

    @abstractmethod
    def aliases(self) -> Mapping[str, str]:
        """Return every alias with what it was last linked to."""

    @abstractmethod
    def link(self, alias: str, organization: str) -> None:
        """Remember that ``alias`` stands for ``organization``.

        A history that was kept under the alias, for want of a better name, is merged into the
        organization's and is gone afterwards. Linking an alias anew moves it, and only it.
        """

    @abstractmethod
    def salt(self, *, create: bool) -> bytes | None:
        """Return the random bytes, the same for everyone who uses this store, that keys are hashed with.

        Args:
            create: Whether to make them when there are none; without, None is returned and nothing
                is written.
        """

    @abstractmethod
    def lease(self, name: str, ttl: timedelta) -> Lease | None:
        """Return the right to do ``name`` alone until released or for ``ttl``; None when someone has it."""

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Give ``lease`` back; nothing happens when its time has passed and another holds it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections; the next call opens them again."""
