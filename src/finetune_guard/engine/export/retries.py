"""Retrying requests of an export after rate limits, lost connections and server errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import openai

from finetune_guard.clock import countdown
from finetune_guard.openai_api.errors import retry_after
from finetune_guard.openai_api.flow import Flow, Pause, Reply, Request
from finetune_guard.rules.export import wait_before_retry


class Retries:
    """What several flows share: once the API has asked to wait, all of them do.

    Attributes:
        organization: The organization that the answers name; None where none does.
        first_answer_at: The earliest time of an answer; None before the first.
    """

    def __init__(self) -> None:
        self.organization: str | None = None
        self.first_answer_at: datetime | None = None
        self._left = countdown(timedelta(0))

    def ask(self, request: Request, before: Callable[[], object] = bool) -> Flow[Reply | None]:
        """Send ``request`` until it is answered or fails for good; ``before`` is called before each try."""
        attempt = 0
        while True:
            attempt += 1
            left = self._left()
            if left > timedelta(0):
                yield Pause(left)
            before()
            try:
                reply = yield request
            except openai.APIError as error:
                wait = wait_before_retry(error, attempt)
                if wait is None:
                    raise
                if retry_after(error):
                    self._left = countdown(wait)
                else:
                    yield Pause(wait)
                continue
            if reply is not None:
                self.organization = reply.organization or self.organization
                self.first_answer_at = min(reply.at, self.first_answer_at or reply.at)
            return reply
