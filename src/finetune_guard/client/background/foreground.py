"""One check of the window at a time, for a program that decides itself when to check."""

from __future__ import annotations

from typing import Any

from finetune_guard.client.background.check import BackgroundCheck, CheckResult
from finetune_guard.client.background.deployment_check import DeploymentCheck, DeploymentsChecked
from finetune_guard.rules.keep_alive import KeepAlive


class ForegroundCheck:
    """Checks the window of a sync client and sends a keep-alive when one is due.

    Args:
        client: A guarded sync client.
        model: The one model to send it to; by default the one used last, then others.

    Attributes:
        keep_alive: When one is due.
    """

    keep_alive: KeepAlive

    def __init__(self, client: Any, model: str | None = None) -> None:
        guard = client._finetune_guard.engine  # noqa: SLF001 -- the client's other half
        self._client = client
        self._check = BackgroundCheck(guard, guard.config.keep_alive or KeepAlive(), model)
        self.keep_alive = self._check.keep_alive

    def run(self) -> CheckResult:
        """Check once; the result tells when to check again."""
        client = self._client
        client._guard_learn_key()  # noqa: SLF001 -- as above
        result: CheckResult = client._guard_drive(self._check.run(client._guard_credentials()))  # noqa: SLF001
        return result


class ForegroundDeploymentCheck:
    """Checks the deployments of a sync client's resource, and sends a keep-alive to each whose end nears.

    Args:
        client: A guarded sync client.
        names: The deployments; by default those of the configuration.

    Attributes:
        names: The deployments.
    """

    def __init__(self, client: Any, names: tuple[str, ...] | None = None) -> None:
        guard, place = client._finetune_guard.engine, client._guard_place()  # noqa: SLF001 -- as above
        keep_alive = guard.config.keep_alive or KeepAlive()
        at = client._guard_deployments_at()  # noqa: SLF001 -- as above
        self._client = client
        self._check = DeploymentCheck(guard, keep_alive, place, at, names)
        self.names = self._check.names
        self.lines = self._check.lines

    def run(self, *, force: bool = False, only_plan: bool = False) -> DeploymentsChecked:
        """Check once; the result tells when to check again.

        Args:
            force: Send keep-alives that aren't due, too.
            only_plan: Only tell what would be sent.
        """
        client = self._client
        client._guard_learn_key()  # noqa: SLF001 -- as above
        flow = self._check.run(client._guard_credentials(), force=force, only_plan=only_plan)  # noqa: SLF001 -- as above
        result: DeploymentsChecked = client._guard_drive(flow)  # noqa: SLF001 -- as above
        return result
