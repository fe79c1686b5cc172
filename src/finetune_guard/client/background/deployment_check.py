"""One check of the deployments of a resource: send a keep-alive to each whose end nears."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from finetune_guard.client.background.check import Check
from finetune_guard.client.log import log
from finetune_guard.domain.errors import KeepAliveError, StoreError
from finetune_guard.domain.organizations import Credentials
from finetune_guard.engine.deployments import Place
from finetune_guard.engine.guard import Guard
from finetune_guard.openai_api.flow import Flow
from finetune_guard.rules.deployments import until_deployment_due
from finetune_guard.rules.idle_messages import kept_alive
from finetune_guard.rules.keep_alive import (
    LONGEST,
    KeepAlive,
    KeepAliveOutcome,
    NotSent,
)


@dataclass(frozen=True)
class DeploymentsChecked:
    """What came of one check.

    Attributes:
        next_in: How long to wait for the next one.
        outcomes: What came of the keep-alive of each deployment; its name is the ``model``.
        failures: Why keep-alives failed, by the deployment's name.
    """

    next_in: timedelta
    outcomes: tuple[KeepAliveOutcome, ...]
    failures: dict[str, KeepAliveError]

    def without(self, names: Collection[str | None]) -> DeploymentsChecked:
        """Return the result without the outcomes of some deployments."""
        return replace(self, outcomes=tuple(each for each in self.outcomes if each.model not in names))

    @property
    def is_well(self) -> bool:
        """Whether every deployment was called that had to be."""
        bad = (NotSent.DEPLOYMENT_GONE, NotSent.HISTORY_UNAVAILABLE)
        return not self.failures and not any(each.reason in bad for each in self.outcomes)


class DeploymentCheck(Check[DeploymentsChecked]):
    """Looks after the deployments of one resource that are to be kept alive.

    Args:
        guard: Who decides and sends.
        keep_alive: When a keep-alive is due.
        place: The resource.
        at: Where the API is, for a client whose base URL names one deployment.
        names: The deployments; by default those of the configuration.
    """

    what = "the deployments"

    def __init__(
        self,
        guard: Guard,
        keep_alive: KeepAlive,
        place: Place,
        at: str | None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(guard, keep_alive)
        self.place = place
        self.names = guard.deployments.to_keep(place, names)
        self._at = at

    def run(
        self, credentials: Credentials, *, force: bool = False, only_plan: bool = False
    ) -> Flow[DeploymentsChecked]:
        """Send a keep-alive to each deployment whose end nears; without, nothing is asked of the API."""
        del credentials
        outcomes: list[KeepAliveOutcome] = []
        failures: dict[str, KeepAliveError] = {}
        wait = LONGEST
        for name in self.names:
            try:
                outcome = yield from self._guard.keep_deployment(
                    self.place, name, self.keep_alive, at=self._at, force=force, only_plan=only_plan
                )
                outcomes.append(outcome)
            except KeepAliveError as error:
                failures[name] = error
            wait = min(wait, self._until_due(name))
        undecided = any(each.reason is NotSent.ANOTHER_IS_SENDING for each in outcomes)
        if failures or undecided:
            wait = min(wait, self._until_retry(None))
        else:
            self._failures = 0
        return DeploymentsChecked(wait, tuple(outcomes), failures)

    def _until_due(self, name: str) -> timedelta:
        try:
            deployment = self._guard.deployments.known(self.place, name)
        except StoreError:
            return LONGEST
        return until_deployment_due(self.keep_alive, deployment, self._guard.decider.now())

    def lines(self, result: DeploymentsChecked) -> list[str]:
        """Return what came of a check, in a sentence or two for each deployment."""
        told = [kept_alive(each, self.place.policy) for each in result.outcomes]
        return told + [f"Not sent to {name}: {error}" for name, error in result.failures.items()]

    def report(self, result: DeploymentsChecked) -> None:
        """Log what was sent, and what went wrong once until it changes."""
        for each in result.outcomes:
            if each.sent:
                log(logging.INFO, "finetune-guard: %s", kept_alive(each, self.place.policy))
        if result.is_well:
            self._told = None
        else:
            said = " ".join(self.lines(result))
            self._say(said, logging.WARNING, "finetune-guard: %s", said)
