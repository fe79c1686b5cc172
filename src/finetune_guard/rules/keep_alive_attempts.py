"""Send the smallest inference to one candidate model after the other, until one answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field
from datetime import timedelta
from typing import NamedTuple

import openai

from finetune_guard.domain.errors import KeepAliveError
from finetune_guard.domain.idle_policy import Operation
from finetune_guard.openai_api.completions import shows_completion_of
from finetune_guard.openai_api.errors import (
    concerns_model,
    is_transient,
    retry_after,
    status_and_code,
    was_never_sent,
)
from finetune_guard.openai_api.flow import ApiCall, Flow, NotMadeError, Pause, Reply
from finetune_guard.openai_api.listing import Listing, read_listing

_LONGEST_WAIT = 86_400.0
_INSTANT = timedelta(microseconds=1)


def smallest_call(
    model: str, timeout: timedelta, operation: Operation = "chat.completions", at: str | None = None
) -> ApiCall:
    """Return the cheapest request that is an inference on a model or a deployment.

    If the client's base URL names another deployment, ``at`` is the base URL of the API.
    """
    body = {
        # Every chat model accepts max_completion_tokens; reasoning models refuse max_tokens.
        "chat.completions": {"messages": [{"role": "user", "content": "."}], "max_completion_tokens": 1},
        "responses": {"input": ".", "max_output_tokens": 16},
        "completions": {"prompt": ".", "max_tokens": 1},
    }[operation]
    path = "/" + operation.replace(".", "/")
    if at is not None:
        path = f"{at}{f'/deployments/{model}' if operation != 'responses' else ''}{path}"
    return ApiCall("post", path, json={"model": model, **body}, timeout=timeout, retry=False)


class Sent(NamedTuple):
    """An answered keep-alive: the model and its reply."""

    model: str
    reply: Reply


@dataclass
class Attempts:
    """The attempts of one keep-alive, the best of the ``known`` candidates first, while time is ``left``.

    ``find_more`` picks further candidates from ``listed_before``, or else from a new listing.
    ``unknown_outcomes`` counts the inferences that were sent but whose outcome is unknown.
    """

    known: InitVar[Iterable[str]]
    left: Callable[[], timedelta]
    find_more: Callable[[Listing], Iterable[str]] | None = None
    listed_before: Listing | None = None
    call: Callable[[str, timedelta], ApiCall] = smallest_call
    is_answered: Callable[[object, str], bool] = shows_completion_of
    unknown_outcomes: int = field(default=0, init=False)

    def __post_init__(self, known: Iterable[str]) -> None:
        self._untried = deque(known)
        self._again: deque[tuple[str, timedelta]] = deque()
        self._last: openai.APIError | None = None
        self._tries = 0
        self._failures: dict[str, str] = {}
        self._listing: Listing | None = None

    def send(self) -> Flow[Sent]:
        """Send the smallest inference to the first model that answers it with a completion.

        If a model answers 400, 403, 404 or 422, or anything but its own completion, the next one is tried at
        once. After a rate limit, a server error or a lost connection, the next attempt waits; untried models
        come first. KeepAliveError says for each model why it did not answer.
        """
        while model := (yield from self._next_model()):
            pause = self._pause(model)
            if pause >= max(self.left(), _INSTANT):
                break
            if pause:
                yield Pause(pause)
            try:
                reply = yield from self._ask(model)
            except openai.APIError as error:
                self._last, self._failures[model] = error, status_and_code(error)
                if is_transient(error):
                    self._again.append((model, timedelta(seconds=min(retry_after(error), _LONGEST_WAIT))))
                elif not concerns_model(error):
                    break
                continue
            if reply is None:
                break
            if self.is_answered(reply.body, model):
                return Sent(model, reply)
            self._failures[model] = "its answer was not a completion of this model"
        cause = self._last or (self._listing.failure if self._listing is not None else None)
        raise _no_answer_error(self._failures, self._listing) from cause

    def _next_model(self) -> Flow[str | None]:
        """Return the next candidate, asking the API for more before retrying one; None if there is none."""
        if not self._untried and self.find_more is not None and self._listing is None:
            self._listing = self.listed_before or (yield from read_listing())
            found = self.find_more(self._listing)
            self._untried.extend(model for model in found if model not in self._failures)
        if self._untried:
            return self._untried.popleft()
        return self._again[0][0] if self._again else None

    def _pause(self, model: str) -> timedelta:
        """Return the delay before ``model`` is tried: at least what the API asked for."""
        if self._last is None or not is_transient(self._last):
            return timedelta(0)
        asked_for = self._again.popleft()[1] if self._again and self._again[0][0] == model else timedelta(0)
        return max(asked_for, _backoff(self._tries))

    def _ask(self, model: str) -> Flow[Reply | None]:
        """Send one inference; return None if no time is left, since another sender may soon take its turn."""
        timeout = self.left()
        if timeout <= timedelta(0):
            self._failures.setdefault(model, "no time was left")
            return None
        self._tries += 1
        self.unknown_outcomes += 1  # until there is an answer, even if the flow is closed meanwhile
        try:
            reply = yield self.call(model, timeout)
        except (openai.APIError, NotMadeError) as error:
            if not isinstance(error, openai.APIConnectionError) or was_never_sent(error):
                self.unknown_outcomes -= 1
            raise
        self.unknown_outcomes -= 1
        return reply


def _backoff(attempt: int) -> timedelta:
    """Return the exponential backoff after a failed attempt, with jitter."""
    from tenacity import RetryCallState, Retrying, wait_random_exponential  # noqa: PLC0415 -- not free to import

    state = RetryCallState(Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    return timedelta(seconds=wait_random_exponential(multiplier=0.5, max=8)(state))


_NAMED = "keep_alive(model=...), or --model on the command line"


def _no_answer_error(failures: dict[str, str], listing: Listing | None) -> KeepAliveError:
    failure = listing.failure if listing is not None else None
    remedy = f"Use a key that may list models, or name one with {_NAMED}."
    if failures:
        tried = "; ".join(f"{model}: {why}" for model, why in failures.items())
        message = f"The keep-alive inference was not answered by any model. Tried {tried}."
        remedy = f"Name a model that answers with {_NAMED}."
    elif failure is not None:
        message = f"The fine-tuned models could not be listed: {status_and_code(failure)}."
        if isinstance(failure, (openai.AuthenticationError, openai.APIConnectionError)):
            remedy = "Check the API key, the organization and the connection, then try again."
        elif is_transient(failure):
            remedy = "Try again later."
    elif listing is not None and not listing.complete:
        message = "No fine-tuned model is known for a keep-alive, and the API would not list them all."
    else:
        message = "No fine-tuned model that is still alive was found for a keep-alive."
        remedy = f"Name one with {_NAMED}, or use a key of the project that has them."
    return KeepAliveError(message, attempts=failures, remedy=remedy)
