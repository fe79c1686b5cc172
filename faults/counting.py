"""Makes calls with two bare clients and a guarded one in turns, and counts failures, changes and times."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import openai
from noise import differences, differences_by_rounds
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from server import answer, body, chunks
from stage import AGAIN, BARE, GUARDED, KEYS, Stage

from finetune_guard import GuardConfig
from table import Row

_T = TypeVar("_T")
MESSAGES = [{"role": "user", "content": "Where is my parcel 4711?"}]
CALLS_PER_MODEL = 50

_RAW, _STREAM = 1, 2  # of ten calls one gives the raw response and one a stream


@dataclass
class Tally:
    """The outcomes of the calls.

    Attributes:
        seconds: The duration of each call, by client and in order.
        lost: The number of calls that raised an error, by client.
        changed: The number of calls with another result than the server sent, by client.
        answered: The number of answered calls of the guarded client.
        problem: The guarded client's first failure or change.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in KEYS})
    lost: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    problem: str = ""

    def add_call(self, name: str, number: int, began: float, outcome: object) -> None:
        """Count a client's call ``number``, which has just ended."""
        self.seconds[name].append(time.perf_counter() - began)
        failed = isinstance(outcome, Exception)
        changed = not failed and not is_as_sent(number, outcome)
        self.lost[name] += failed
        self.changed[name] += changed
        if name == GUARDED:
            self.answered += not failed
            self.problem = self.problem or (repr(outcome)[:200] if failed or changed else "")

    def add(self, other: Tally) -> None:
        """Add the tally of another thread or process."""
        for name, seconds in other.seconds.items():
            self.seconds[name] += seconds
        self.lost += other.lost
        self.changed += other.changed
        self.answered += other.answered
        self.problem = self.problem or other.problem

    def row(
        self,
        fault: str,
        history: str,
        *,
        caught_up: bool,
        problem: str = "",
        logged: str = "",
        rounds: Sequence[Tally] = (),
    ) -> Row:
        """Return the table row; with ``rounds``, whose sum this is, compare the times of those."""
        if rounds:
            percentile, total = differences_by_rounds([each._by_client() for each in rounds])
        else:
            percentile, total = differences(*self._by_client())
        return Row(
            fault,
            len(self.seconds[GUARDED]),
            max(0, self.lost[GUARDED] - self.lost[BARE]),
            max(0, self.changed[GUARDED] - self.changed[BARE]),
            history,
            caught_up,
            percentile.text(),
            total.text(),
            percentile.is_slower or total.is_slower,
            logged,
            problem or self.problem,
        )

    def _by_client(self) -> tuple[list[float], list[float], list[float]]:
        return self.seconds[BARE], self.seconds[AGAIN], self.seconds[GUARDED]


def model(number: int) -> str:
    """Return the model of a call; it changes regularly, since a model's first call is written immediately."""
    return f"ft:gpt-4o-mini-2024-07-18:acme::{number // CALLS_PER_MODEL:08}"


def is_as_sent(number: int, outcome: Any) -> bool:
    """Whether a call returned the server's answer, with the type that a bare client returns."""
    if number % 10 == _RAW:
        response = outcome.http_response
        as_sent = response.status_code == 200 and response.content == body(model(number))
        return as_sent and _is_answer(number, outcome.parse())
    if number % 10 == _STREAM:
        typed = all(type(chunk) is ChatCompletionChunk for chunk in outcome)
        return typed and [chunk.to_dict() for chunk in outcome] == chunks(model(number))
    return _is_answer(number, outcome)


def _is_answer(number: int, outcome: Any) -> bool:
    return type(outcome) is ChatCompletion and outcome.to_dict() == answer(model(number))


async def ask(client: Any, number: int) -> Any:
    """Make the call ``number`` with a sync or async client."""
    chat, what = client.chat.completions, {"model": model(number), "messages": MESSAGES}
    if number % 10 == _RAW:
        return await _done(chat.with_raw_response.create(**what))
    if number % 10 != _STREAM:
        return await _done(chat.create(**what))
    stream = await _done(chat.create(**what, stream=True))
    return [chunk async for chunk in stream] if isinstance(stream, openai.AsyncStream) else list(stream)


async def _done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def run_sync(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits, as with sync clients, and return its result."""
    try:
        work.send(None)
    except StopIteration as stop:
        found: _T = stop.value
        return found
    raise AssertionError("work with a sync client has waited for something")


async def run_async(
    clients: Mapping[str, Any],
    numbers: Iterable[int],
    *,
    pace: float = 0.0,
    sleep: Callable[[float], Any] = asyncio.sleep,
) -> Tally:
    """Make the calls ``numbers`` with each client in turn, ``pace`` seconds apart."""
    tally, order = Tally(), list(clients)
    for number in numbers:
        random.shuffle(order)
        for name in order:
            began = time.perf_counter()
            try:
                outcome = await ask(clients[name], number)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is counted
                outcome = error
            tally.add_call(name, number, began, outcome)
        await _done(sleep(pace))
    return tally


def run(clients: Mapping[str, Any], numbers: Iterable[int], *, pace: float = 0.0) -> Tally:
    """The same as ``run_async`` for sync clients, without an event loop."""
    return run_sync(run_async(clients, numbers, pace=pace, sleep=time.sleep))


async def run_and_close(clients: Mapping[str, Any], numbers: Iterable[int], **how: Any) -> Tally:
    """The same as ``run_async``, but close the clients afterwards."""
    found = await run_async(clients, numbers, **how)
    for client in clients.values():
        await client.close()
    return found


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of several tallies."""
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def run_both_kinds(
    stage: Stage, config: GuardConfig, *, calls: int = 0, first: int = 0, pace: float = 0.0
) -> Tally:
    """Make half of the calls with sync clients and half with async ones."""
    middle, end = first + (calls or stage.calls) // 2, first + (calls or stage.calls)
    clients = stage.clients(config)
    tally = run(clients, range(first, middle), pace=pace)
    asynchronous = stage.clients(config, asynchronous=True)
    tally.add(asyncio.run(run_and_close(asynchronous, range(middle, end), pace=pace)))
    for client in clients.values():
        client.close()
    return tally
