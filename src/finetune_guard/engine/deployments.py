"""Remembering when deployments were called, and telling when one ends or is gone.

Nothing here knows a client. What happens around a call costs no I/O: the store is read by the thread that
writes it, before it writes what the call has told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import openai

from finetune_guard.domain.errors import GuardConfigError, IdleDeploymentWarning, ProviderLossError
from finetune_guard.domain.facts import Ended, EndedBy, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.hosts import host_of, is_before_azure, is_resource, resource_of
from finetune_guard.domain.idle_policy import Covers, IdlePolicy
from finetune_guard.domain.organizations import Credentials
from finetune_guard.domain.validation import shown
from finetune_guard.engine.decider import Decider
from finetune_guard.recording.notes import Subject, told
from finetune_guard.recording.recorder import Recorder
from finetune_guard.rules.deployments import Deployment, by_end, covers, deployments_of, is_named, names_at
from finetune_guard.rules.idle_messages import nearly_idle
from finetune_guard.rules.known_losses import known_loss, losses_under
from finetune_guard.stores.base import Store

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

_MOST_PLACES = 1_000
_MOST_DEPLOYMENTS = 10_000
_QUIET_PART, _LOOK_PART = 4, 360


@dataclass(eq=False)
class Place:
    """A resource whose deployments end when nobody calls them, and what this process knows of them.

    Attributes:
        history: What the resource's history is called.
        policy: The rule that holds there.
        subject: Whom its facts are about; no key is a part of it.
        any_answer_counts: Whether a base model's answer may be that of a deployment which the rule speaks of.
        looked_at: When the store was last asked what it knows, other processes' calls included.
        is_looking: Whether its answer is still awaited.
        last_calls: When each deployment was last called.
        pauses: Of deployments that answered before the store had told of an earlier call, both times.
        gone: When those deployments were last called that were not found since.
        missed: When those were not found of which the store hasn't told yet whether it knows them.
        covered: The deployments that the rule speaks of, as far as that is known.
        quiet: After how short a pause nothing is said in any case.
    """

    history: str
    policy: IdlePolicy
    any_answer_counts: bool
    looked_at: datetime | None = None
    is_looking: bool = False
    last_calls: dict[str, datetime] = field(default_factory=dict)
    pauses: dict[str, tuple[datetime | None, datetime]] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    missed: dict[str, datetime] = field(default_factory=dict)
    covered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.subject = Subject(self.history, Credentials("", base=self.history))
        self.quiet: timedelta = self.policy.window / _QUIET_PART
        self.look_again: timedelta = self.policy.window / _LOOK_PART


class Deployments:
    """The deployments of all resources that a guard sees."""

    def __init__(self, config: GuardConfig, recorder: Recorder, decider: Decider) -> None:
        self._config = config
        self._recorder = recorder
        self._decider = decider
        self._named = config.named_deployments
        self._places: dict[str, Place] = {}
        self._warned: dict[tuple[str, str], date] = {}

    # What happens around a call.

    def place(self, history: str, policy: IdlePolicy) -> Place:
        """Return the resource whose history is called ``history``: always the same object for one name."""
        known = self._places.get(history)
        if known is not None and known.policy is policy:
            return known
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        made = Place(history, policy, policy.covers is Covers.ALL or bool(self._named))
        self._recorder.name(made.subject)
        self._places[history] = made
        return made

    def look_up(self, place: Place) -> None:
        """Have the store asked what it knows of the resource, before the present call is written there.

        It is asked again from time to time, since other processes call the same deployments.
        """
        if place.looked_at is not None and not place.covered:
            return
        now = self._decider.now()
        if place.looked_at is not None and now - place.looked_at < place.look_again:
            return
        place.looked_at, place.is_looking = now, True

        def look(store: Store) -> None:
            try:
                self._learn(place, store.history(place.history))
            finally:
                place.is_looking = False
                self._settle(place)

        self._recorder.before_writing(look)

    @staticmethod
    def _learn(place: Place, history: History) -> None:
        for model, last in history.models.items():
            ended, seen = history.evidence.ended.get(model), place.last_calls.get(model, last.at)
            if ended is not None and max(last.at, seen) <= ended.at:
                place.last_calls.pop(model, None)
                place.pauses.pop(model, None)
                place.gone[model] = last.at
            elif len(place.last_calls) < _MOST_DEPLOYMENTS:
                place.last_calls[model] = max(last.at, seen)
            if model in place.pauses:  # it has answered meanwhile
                before, at = place.pauses[model]
                place.pauses[model] = max(last.at, before or last.at), at
            served = last.served.model if last.served is not None else None
            if served is None or covers(place.policy, served, named=False):
                place.covered.add(model)

    def is_covered(self, place: Place, name: str) -> bool:
        """Whether the rule is known to speak of a deployment, whatever its next answer names."""
        if name in place.covered:
            return True
        named = is_named(name, resource_of(place.history), self._named)
        if covers(place.policy, None, named=named):
            self._cover(place, name)
            return True
        return False

    def saw(
        self, place: Place, name: str, served: str | None, date: bytes | None
    ) -> IdleDeploymentWarning | None:
        """Note an answer of a deployment that the rule speaks of; return the warning that is due, if any."""
        now = self._decider.now()
        at = self._decider.answered_at(date, now)
        self._recorder.record(place.subject, name, Source.OBSERVED, at, served)
        before = self.called(place, name, at)
        if place.pauses and (pause := place.pauses.pop(name, None)):
            began, ended = pause
            if began is not None and ended - began >= place.quiet:
                before, at = began, ended
        if place.is_looking:
            place.pauses[name] = before, at
            return None
        if before is None or at - before < place.quiet:
            return None
        return self._warning(place, name, before, at)

    def called(self, place: Place, name: str, at: datetime) -> datetime | None:
        """Remember in this process that a deployment has answered; return when it was called before."""
        before = place.last_calls.get(name)
        if before is None:
            self._cover(place, name)
            place.gone.pop(name, None)
        if before is None or at > before:
            place.last_calls[name] = at
        return before

    def lost(self, place: Place, name: str, error: openai.APIStatusError) -> ProviderLossError | None:
        """Return what an error means if it tells that a deployment is gone, and have that remembered."""
        known = place.last_calls.get(name)
        last_call = known or place.gone.get(name)
        found = known_loss(
            error,
            host=host_of(place.history)[0],
            model=name,
            last_call=last_call,
            losses=losses_under(place.policy),
        )
        if not isinstance(error, openai.NotFoundError):
            return found
        at = self._decider.answered_at(error.response.headers.get("date"), self._decider.now())
        if found is not None and known is not None:
            self.not_found(place, name, at)
        elif last_call is None and len(place.missed) < _MOST_DEPLOYMENTS:
            could_be = known_loss(error, host="", model=name, last_call=at, losses=losses_under(place.policy))
            if could_be is not None:  # whether it was known isn't read yet
                place.missed[name] = at
                if not place.is_looking:
                    self._settle(place)
        return found

    def _settle(self, place: Place) -> None:
        """Remember of the deployments that were not found before the store was read those that it knows."""
        while place.missed:
            name, at = place.missed.popitem()
            if name in place.last_calls:
                self.not_found(place, name, at)

    def not_found(self, place: Place, name: str, at: datetime) -> None:
        """Have it remembered that a deployment was not found; a later call takes that back."""
        known = place.last_calls.pop(name, None)
        ended = Ended(at=at if known is None else max(at, known), why=EndedBy.NOT_FOUND)
        self._recorder.merge(place.subject, told(ended={name: ended}))
        if known is not None:
            place.gone[name] = known

    def _cover(self, place: Place, name: str) -> None:
        if len(place.last_calls) >= _MOST_DEPLOYMENTS or len(place.covered) >= _MOST_DEPLOYMENTS:
            for each in (place.last_calls, place.covered, place.gone):
                each.clear()
        place.covered.add(name)

    def _warning(
        self, place: Place, name: str, before: datetime, at: datetime
    ) -> IdleDeploymentWarning | None:
        """Return the warning for a call that came shortly before its deployment's end; once a day for each.

        The call itself has put that end off, so that the pause before it is what is told.
        """
        first, last = place.policy.ends(before)
        key = place.history, name
        if not first - place.policy.warn_within <= at < last or self._warned.get(key) == at.date():
            return None
        if len(self._warned) >= _MOST_DEPLOYMENTS:
            self._warned.clear()
        self._warned[key] = at.date()
        resource = resource_of(place.history)
        return IdleDeploymentWarning(nearly_idle(resource, name, place.policy, before, at))

    # What people ask for.

    def listed(self, only: Place | None = None) -> tuple[Deployment, ...]:
        """Return what is known of every deployment, or of those of one resource; the first to end first.

        Raises:
            StoreError: The store can't be read.
        """
        now, found = self._decider.now(), list[Deployment]()
        for place in self._known_places() if only is None else (only,):
            history, resource = self._recorder.history(place.subject.credentials), resource_of(place.history)
            found += deployments_of(resource, history, place.policy, now, self._named)
        return tuple(sorted(found, key=by_end))

    def known(self, place: Place, name: str) -> Deployment:
        """Return what is known of one deployment that is to be kept alive, though no call may be known.

        Raises:
            StoreError: The store can't be read.
        """
        history, resource = self._recorder.history(place.subject.credentials), resource_of(place.history)
        full = f"{resource}/{name}"
        found = deployments_of(resource, history, place.policy, self._decider.now(), (full,))
        return next(each for each in found if each.name == name)

    def to_keep(self, place: Place, given: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return the names of the deployments of a resource that are to be kept alive.

        Args:
            place: The resource.
            given: Those that are asked for, by NAME or RESOURCE/NAME; by default the configuration's.

        Raises:
            GuardConfigError: One of those that are asked for is another resource's.
        """
        resource, keep_alive = resource_of(place.history), self._config.keep_alive
        if given is None:
            return names_at(resource, keep_alive.deployments if keep_alive is not None else ())
        for each in given:
            if not names_at(resource, (each,)):
                raise GuardConfigError(
                    f"{shown(each)} is not a deployment of {resource}, which this client calls. Name it "
                    "without a resource, or call it with a client of its own resource."
                )
        return names_at(resource, given)

    def _known_places(self) -> Iterable[Place]:
        names = {*self._recorder.store.organizations(), *self._places}
        for name in sorted(filter(is_resource, names)):
            host, port = host_of(name)
            policy = self._config.idle_policy(host, port, is_azure=is_before_azure(name))
            if policy is not None:
                yield self.place(name, policy)

    def forget(self, name: str) -> tuple[Deployment, ...]:
        """Have it remembered that deployments called ``name``, or ``RESOURCE/NAME``, are not to be kept.

        Raises:
            GuardConfigError: No deployment is known by that name.
            StoreError: It could not be stored.
        """
        found = [each for each in self.listed() if is_named(each.name, each.resource, (name,))]
        if not found:
            raise GuardConfigError(
                f"No deployment is known as {shown(name)}. To see those that are: finetune-guard deployments"
            )
        now = self._decider.now()
        for place in self._known_places():
            for each in found:
                if each.resource == resource_of(place.history):
                    ended = Ended(at=max(now, each.last_call or now), why=EndedBy.FORGOTTEN)
                    self._recorder.store.merge(
                        History(evidence=Evidence(organization=place.history, ended={each.name: ended}))
                    )
                    place.last_calls.pop(each.name, None)
        return tuple(found)
