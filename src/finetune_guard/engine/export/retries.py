"""Retrying requests of an export after rate limits, lost connections and server errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import openai

from finetune_guard.clock import countdown
from finetune_guard.openai_api.errors import retry_after
from finetune_guard.openai_api.flow import Flow, Pause, Reply, Request
from finetune_guard.rules.export import wait_before_retry


class Retries:
    """What several flows share: once the API has asked to wait, all of them do."""

    def __init__(self) -> None:
        self._left = countdown(timedelta(0))

    def ask(self, request: Request, before: Callable[[], object] = bool) -> Flow[Reply | None]:
        """Send ``request`` until it is answered, and call ``before`` before each attempt.

        Raises:
            openai.APIError: It was refused, or failed too often.
        """
        for attempt in count(1):
            left = self._left()
            if left > timedelta(0):
                yield Pause(left)
            before()
            try:
                return (yield request)
            except openai.APIError as error:
                wait = wait_before_retry(error, attempt)
                if wait is None:
                    raise
                if retry_after(error):
                    self._left = countdown(wait)
                else:
                    yield Pause(wait)
        raise AssertionError  # count() has no end
