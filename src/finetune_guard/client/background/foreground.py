"""One check of the window at a time, for a program that decides itself when to check."""

from __future__ import annotations

from typing import Any

from finetune_guard.client.background.check import BackgroundCheck, CheckResult
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
