"""Record when deployments were called, and warn when one is about to end or is gone.

Methods around a call do no I/O: the store's writer thread reads the store before it writes the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import openai

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.errors import GuardConfigError, IdleDeploymentWarning, ProviderLossError
from finetune_guard.domain.facts import Ended, Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.hosts import host_of, is_azure_gateway, is_resource, resource_of
from finetune_guard.domain.idle_policy import IdlePolicy
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.domain.validation import format_value
from finetune_guard.engine.decider import Decider
from finetune_guard.recording.pending import new_facts
from finetune_guard.rules.deployments import Deployment, by_end, covers, deployments_of, is_named, names_at
from finetune_guard.rules.idle_messages import nearly_idle
from finetune_guard.rules.known_losses import known_loss, losses_under
from finetune_guard.stores.base import Store

_MOST_DEPLOYMENTS = 10_000
_MIN_PAUSE_PART, _REFRESH_PART = 4, 360


@dataclass
class _Calls:
    """When a deployment was last called, and whether a later call did not find it."""

    last: datetime
    is_gone: bool = False
    pause: tuple[datetime | None, datetime] | None = None
    """The last pause between two calls, to be checked once the store has been read."""


class Resource:
    """A resource whose deployments end when nobody calls them, and what this process knows about them.

    Attributes:
        history: The name of the resource's history.
        any_answer_counts: Whether the rule may apply to a deployment that serves a base model.
        covered: The deployments that the rule is known to apply to.
    """

    def __init__(self, history: str, policy: IdlePolicy, decider: Decider) -> None:
        self.history = history
        self.policy = policy
        self.name = resource_of(history)
        self.subject = Subject(history, Credentials("", base=history))
        self.covered: Bounded[str, bool] = Bounded(_MOST_DEPLOYMENTS)
        self._decider = decider
        self._recorder = decider.recorder
        self._config = decider.config
        self._named = decider.config.named_deployments
        self.any_answer_counts = policy.covers == "all" or bool(self._named)
        self._min_pause = policy.window / _MIN_PAUSE_PART  # no warning after a shorter one
        self._refresh_interval = policy.window / _REFRESH_PART
        self._refreshed_at: datetime | None = None
        self._is_refreshing = False
        self._calls: Bounded[str, _Calls] = Bounded(_MOST_DEPLOYMENTS)
        # The times of 404s that came before the store was read.
        self._early_404s: Bounded[str, datetime] = Bounded()
        self._warned_on: Bounded[str, date] = Bounded(_MOST_DEPLOYMENTS)

    # Around a call.

    def refresh_from_store(self) -> None:
        """Have the writer thread read the store before it writes this call, if the last read is too old."""
        if self._refreshed_at is not None and not self.covered:
            return
        now = self._decider.now()
        if self._refreshed_at is not None and now - self._refreshed_at < self._refresh_interval:
            return
        self._refreshed_at, self._is_refreshing = now, True

        def read(store: Store) -> None:
            try:
                self._learn(store.history(self.history))
            finally:
                self._is_refreshing = False
                self._record_early_404s()

        self._recorder.before_writing(read)

    def is_covered(self, name: str) -> bool:
        """Whether the rule is known to apply to a deployment, whatever model its next answer names."""
        if name not in self.covered:
            if not covers(self.policy, None, named=is_named(name, self.name, self._named)):
                return False
            self.covered[name] = True
        return True

    def record_answer(
        self, name: str, served: str | None, date: bytes | None
    ) -> IdleDeploymentWarning | None:
        """Record an answer of a deployment that the rule applies to; return a warning if one is due."""
        at = self._decider.answered_at(date)
        self._recorder.record(self.subject, name, Source.OBSERVED, at, served)
        calls, before = self.record_call(name, at)
        if calls.pause is not None:
            (began, ended), calls.pause = calls.pause, None
            if began is not None and ended - began >= self._min_pause:
                before, at = began, ended
        if self._is_refreshing:
            calls.pause = before, at
            return None
        if before is None or at - before < self._min_pause:
            return None
        return self._idle_warning(name, before, at)

    def record_call(self, name: str, at: datetime) -> tuple[_Calls, datetime | None]:
        """Record that a deployment was called; return its calls and the time of the previous one."""
        calls = self._calls.get(name)
        if calls is None or calls.is_gone:
            self.covered[name] = True
            calls = self._calls[name] = _Calls(at)
            return calls, None
        before = calls.last
        calls.last = max(at, before)
        return calls, before

    def loss_error(self, name: str, error: openai.APIStatusError) -> ProviderLossError | None:
        """Return our error if ``error`` means that a deployment is gone, and record the loss."""
        host, losses = host_of(self.history)[0], losses_under(self.policy)
        loss_after = partial(known_loss, error, host=host, model=name, losses=losses)
        calls = self._calls.get(name)
        loss = loss_after(last_call=calls.last if calls is not None else None)
        if isinstance(error, openai.NotFoundError):
            at = self._decider.answered_at(error.response.headers.get("date"))
            if calls is not None and loss is not None:
                self._record_gone(name, at)
            elif calls is None and loss_after(last_call=at) is not None:  # the store may know the deployment
                self._early_404s[name] = at
                if not self._is_refreshing:
                    self._record_early_404s()
        return loss

    def record_not_found(self, name: str, at: datetime) -> None:
        """Record that a deployment was not found; a later call takes that back."""
        calls = self._calls.get(name)
        if calls is not None and not calls.is_gone:
            calls.is_gone, calls.pause = True, None
            at = max(at, calls.last)
        self._recorder.merge(self.subject, new_facts(ended={name: Ended(at=at, why="not_found")}))

    def _learn(self, history: History) -> None:
        """Take over the deployments that the store knows."""
        for name, last in history.models.items():
            calls = self._calls.get(name)
            if calls is None:
                calls = self._calls[name] = _Calls(last.at)
            elif last.at > calls.last:
                calls.last, calls.is_gone = last.at, False
            ended = history.evidence.ended.get(name)
            if ended is not None and calls.last <= ended.at:
                calls.is_gone, calls.pause = True, None
            elif calls.pause is not None:
                before, at = calls.pause
                calls.pause = max(last.at, before or last.at), at
            served = last.served.model if last.served is not None else None
            if served is None or covers(self.policy, served, named=False):
                self.covered[name] = True

    def _record_early_404s(self) -> None:
        """Record the 404s from before the store was read, of the deployments that it knew."""
        while self._early_404s:
            name, at = self._early_404s.popitem()
            if name in self._calls:
                self._record_gone(name, at)

    def _record_gone(self, name: str, at: datetime) -> None:
        if not self._calls[name].is_gone:
            self.record_not_found(name, at)

    def _idle_warning(self, name: str, before: datetime, at: datetime) -> IdleDeploymentWarning | None:
        """Return the warning for a call that came shortly before the end; once a day for each deployment."""
        first, last = self.policy.ends(before)
        if not first - self.policy.warn_within <= at < last or self._warned_on.get(name) == at.date():
            return None
        self._warned_on[name] = at.date()
        return IdleDeploymentWarning(nearly_idle(self.name, name, self.policy, before, at))

    # Public operations.

    def deployments(self) -> tuple[Deployment, ...]:
        """Return every known deployment, the first to end first."""
        return self._read(self._named)

    def status_of(self, name: str) -> Deployment:
        """Return what is known about one deployment, even if no call is known."""
        return next(each for each in self._read((f"{self.name}/{name}",)) if each.name == name)

    def _read(self, named: tuple[str, ...]) -> tuple[Deployment, ...]:
        history = self._recorder.history(self.subject.credentials)
        return deployments_of(self.name, history, self.policy, self._decider.now(), named)

    def names_to_keep_alive(self, names: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return the names of the deployments to keep alive: ``names``, or those configured."""
        keep_alive = self._config.keep_alive
        if names is None:
            return names_at(self.name, keep_alive.deployments if keep_alive is not None else ())
        for each in names:
            if not names_at(self.name, (each,)):
                raise GuardConfigError(
                    f"{format_value(each)} is not a deployment of {self.name}, which this client calls. "
                    "Name it without a resource, or call it with a client of its own resource."
                )
        return names_at(self.name, names)

    def forget(self, deployment: Deployment) -> None:
        """Record that a deployment is no longer to be kept alive."""
        now = self._decider.now()
        ended = {deployment.name: Ended(at=max(now, deployment.last_call or now), why="forgotten")}
        self._recorder.store.merge(History(evidence=Evidence(organization=self.history, ended=ended)))
        self._calls.pop(deployment.name, None)


class Deployments:
    """The deployments of all resources that a guard's clients call."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._resources: Bounded[str, Resource] = Bounded()

    def resource(self, history: str, policy: IdlePolicy) -> Resource:
        """Return the resource with the history ``history``: always the same object for one name."""
        known = self._resources.get(history)
        if known is not None and known.policy is policy:
            return known
        made = Resource(history, policy, self._decider)
        self._decider.recorder.record_organization(made.subject)
        self._resources[history] = made
        return made

    def list_all(self, only: Resource | None = None) -> tuple[Deployment, ...]:
        """Return every known deployment, or those of one resource, the first to end first."""
        resources = self._known_resources() if only is None else (only,)
        return tuple(sorted((each for resource in resources for each in resource.deployments()), key=by_end))

    def forget(self, name: str) -> tuple[Deployment, ...]:
        """Record that deployments called ``name``, or ``RESOURCE/NAME``, are no longer to be kept alive."""
        matching = [
            (resource, deployment)
            for resource in self._known_resources()
            for deployment in resource.deployments()
            if is_named(deployment.name, resource.name, (name,))
        ]
        if not matching:
            raise GuardConfigError(
                f"No deployment is known as {format_value(name)}. To see those that are: finetune-guard "
                "deployments"
            )
        for resource, deployment in matching:
            resource.forget(deployment)
        return tuple(sorted((deployment for _, deployment in matching), key=by_end))

    def _known_resources(self) -> Iterable[Resource]:
        names = {*self._decider.recorder.store.organizations(), *self._resources}
        for name in sorted(filter(is_resource, names)):
            host, port = host_of(name)
            policy = self._decider.config.idle_policy(host, port, is_azure=is_azure_gateway(name))
            if policy is not None:
                yield self.resource(name, policy)
