"""Calls of two bare clients and of ours by turns, and what came of each: lost, changed, and how long."""

from __future__ import annotations

import asyncio
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import openai
from listening import listening, summary
from noise import differences
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import finetune_guard
from finetune_guard import FineTuneGuardWarning, GuardConfig, Store, StoreError
from server import ANSWER, BODY, CHUNKS, ORGANIZATION
from table import Row

BARE, AGAIN, GUARDED = "bare", "bare again", "guarded"
KEYS = {BARE: "sk-bare", AGAIN: "sk-bare-again", GUARDED: "sk-guarded"}  # they open nothing
MESSAGES = [{"role": "user", "content": "Where is my parcel 4711?"}]
CALLS_PER_MODEL = 10
CATCH_UP_SECONDS = 60.0

warnings.simplefilter("ignore", FineTuneGuardWarning)  # that a model is to be shut down is no fault

_RAW, _STREAM = 1, 2  # of ten calls one gives the raw response and one a stream


@dataclass(frozen=True)
class Stage:
    """Where a fault takes place.

    Attributes:
        port: Where the server listens.
        folder: A folder of its own, which is removed afterwards.
        quick: Whether to take a tenth of the time.
    """

    port: int
    folder: Path
    quick: bool

    @property
    def calls(self) -> int:
        """How many inferences are made."""
        return 200 if self.quick else 1_000

    @property
    def history(self) -> Path:
        """Where a history on disk is."""
        return self.folder / "history"

    def config(self, store: object = None, **fields: Any) -> GuardConfig:
        """Return how ours is guarded."""
        place = store if store is not None else self.history
        return GuardConfig(store=place, hosts=[f"127.0.0.1:{self.port}"], **fields)

    def client(self, kind: type, name: str, **options: Any) -> Any:
        """Return a client of the server."""
        url = f"http://127.0.0.1:{self.port}/v1"
        return kind(base_url=url, api_key=KEYS[name], max_retries=0, timeout=60, **options)

    def sync(self, config: GuardConfig, **options: Any) -> dict[str, Any]:
        """Return the three sync clients."""
        return {
            BARE: self.client(openai.OpenAI, BARE, **options),
            AGAIN: self.client(openai.OpenAI, AGAIN, **options),
            GUARDED: self.client(finetune_guard.OpenAI, GUARDED, guard=config, **options),
        }

    def asynchronous(self, config: GuardConfig, **options: Any) -> dict[str, Any]:
        """Return the three async clients."""
        return {
            BARE: self.client(openai.AsyncOpenAI, BARE, **options),
            AGAIN: self.client(openai.AsyncOpenAI, AGAIN, **options),
            GUARDED: self.client(finetune_guard.AsyncOpenAI, GUARDED, guard=config, **options),
        }


@dataclass
class Tally:
    """What came of the calls.

    Attributes:
        seconds: How long each took, by client and in order.
        lost: How many raised an error or gave nothing, by client.
        changed: How many gave something else than the server had sent, by client.
        answered: How many of ours were answered.
        problem: The first thing that went wrong with ours.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in KEYS})
    lost: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    problem: str = ""

    def take(self, name: str, number: int, began: float, outcome: object) -> None:
        """Count the call ``number`` of a client, which has just come to its end."""
        self.seconds[name].append(time.perf_counter() - began)
        if isinstance(outcome, Exception):
            self.lost[name] += 1
            said = repr(outcome)
        elif not is_as_sent(number, outcome):
            self.changed[name] += 1
            said = repr(outcome)
        else:
            said = ""
        if name == GUARDED:
            self.answered += not isinstance(outcome, Exception)
            self.problem = self.problem or said[:200]

    def add(self, other: Tally) -> None:
        """Add what another thread or process counted."""
        for name, seconds in other.seconds.items():
            self.seconds[name] += seconds
        self.lost += other.lost
        self.changed += other.changed
        self.answered += other.answered
        self.problem = self.problem or other.problem

    def row(self, fault: str, history: str, *, caught_up: bool, problem: str = "", logged: str = "") -> Row:
        """Return the row of the table."""
        percentile, total = differences(*(self.seconds[name] for name in (BARE, AGAIN, GUARDED)))
        return Row(
            fault,
            len(self.seconds[GUARDED]),
            max(0, self.lost[GUARDED] - self.lost[BARE]),
            max(0, self.changed[GUARDED] - self.changed[BARE]),
            history,
            caught_up,
            percentile.told(),
            total.told(),
            percentile.is_slower or total.is_slower,
            logged,
            problem or self.problem,
        )


def model(number: int) -> str:
    """Return the model of a call: a new one now and then, since the first call of each is written at once."""
    return f"ft:gpt-4o-mini-2024-07-18:acme::{number // CALLS_PER_MODEL:08}"


def is_as_sent(number: int, outcome: Any) -> bool:
    """Whether a call gave back what the server had sent, in the type that a bare client gives."""
    if number % 10 == _RAW:
        response = outcome.http_response
        as_sent = response.status_code == 200 and response.content == BODY
        return as_sent and is_as_sent(0, outcome.parse())
    if number % 10 == _STREAM:
        typed = all(type(chunk) is ChatCompletionChunk for chunk in outcome)
        return typed and [chunk.to_dict() for chunk in outcome] == CHUNKS
    return type(outcome) is ChatCompletion and outcome.to_dict() == ANSWER


def ask(client: Any, number: int) -> Any:
    """Make the call ``number``."""
    chat, what = client.chat.completions, {"model": model(number), "messages": MESSAGES}
    if number % 10 == _RAW:
        return chat.with_raw_response.create(**what)
    if number % 10 == _STREAM:
        return list(chat.create(**what, stream=True))
    return chat.create(**what)


async def ask_async(client: Any, number: int) -> Any:
    """Make the call ``number``."""
    chat, what = client.chat.completions, {"model": model(number), "messages": MESSAGES}
    if number % 10 == _RAW:
        return await chat.with_raw_response.create(**what)
    if number % 10 == _STREAM:
        return [chunk async for chunk in await chat.create(**what, stream=True)]
    return await chat.create(**what)


def run(clients: Mapping[str, Any], numbers: Iterable[int], *, pace: float = 0.0) -> Tally:
    """Make the calls ``numbers`` with each of the sync clients, by turns, ``pace`` seconds apart."""
    tally, order = Tally(), list(clients)
    for number in numbers:
        random.shuffle(order)
        for name in order:
            began = time.perf_counter()
            try:
                outcome = ask(clients[name], number)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is counted
                outcome = error
            tally.take(name, number, began, outcome)
        time.sleep(pace)
    return tally


async def run_async(
    clients: Mapping[str, Any],
    numbers: Iterable[int],
    *,
    pace: float = 0.0,
    sleep: Callable[[float], Any] = asyncio.sleep,
) -> Tally:
    """Make the calls ``numbers`` with each of the async clients."""
    tally, order = Tally(), list(clients)
    for number in numbers:
        random.shuffle(order)
        for name in order:
            began = time.perf_counter()
            try:
                outcome = await ask_async(clients[name], number)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is counted
                outcome = error
            tally.take(name, number, began, outcome)
        await sleep(pace)
    return tally


def both_halves(
    stage: Stage, config: GuardConfig, *, calls: int = 0, first: int = 0, pace: float = 0.0, **options: Any
) -> Tally:
    """Make half of the calls with sync clients and half with async ones."""
    middle, end = first + (calls or stage.calls) // 2, first + (calls or stage.calls)
    clients = stage.sync(config, **options)
    tally = run(clients, range(first, middle), pace=pace)

    async def half() -> Tally:
        clients = stage.asynchronous(config, **options)
        found = await run_async(clients, range(middle, end), pace=pace)
        for client in clients.values():
            await client.close()
        return found

    tally.add(asyncio.run(half()))
    for client in clients.values():
        client.close()
    return tally


@dataclass(frozen=True)
class Stored:
    """What a store holds when everything is over.

    Attributes:
        inferences: How many inferences it has counted.
        models: How many models it knows.
        last: When the latest was, in seconds since 1970.
    """

    inferences: int
    models: int
    last: float


def stored(store: Store) -> Stored:
    """Return what is in ``store``, read anew.

    Raises:
        StoreError: It can't be read.
    """
    store.close()
    history = store.history(ORGANIZATION)
    counted = sum(count for day in history.daily.values() for count in day.values())
    last = history.last_inference
    store.close()
    return Stored(counted, len(history.models), last.at.timestamp() if last else 0.0)


@contextmanager
def begun(stage: Stage, config: GuardConfig) -> Iterator[tuple[Any, int]]:
    """Give a guarded client whose history is begun and written, and how many inferences that holds."""
    client = stage.client(finetune_guard.OpenAI, GUARDED, guard=config)
    numbers = range(10_000_000, 10_000_000 + 2 * CALLS_PER_MODEL)
    for number in numbers:
        ask(client, number)
    client.guard.flush(CATCH_UP_SECONDS)
    try:
        yield client, len(numbers)
    finally:
        client.close()


def catch_up(client: Any, seconds: float = CATCH_UP_SECONDS) -> str:
    """Let a client write what it has seen; return what kept it from that, if anything."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.guard.flush(5.0)
        except StoreError as error:
            if time.monotonic() > deadline:
                return f"{error} ({error.__cause__!r})"[:300]
            time.sleep(0.2)
        else:
            return ""


def compared(
    stage: Stage,
    fault: Callable[[], Any],
    what: str,
    *,
    config: GuardConfig | None = None,
    pace: float = 0.0,
    kept: bool = True,
) -> Row:
    """Make the calls while ``fault()``, a context manager, lasts; let the history catch up and count it.

    Args:
        stage: Where.
        fault: Makes what goes wrong, and ends it.
        what: What the table calls it.
        config: How ours is guarded; by default with a history on disk.
        pace: Seconds between two calls.
        kept: Whether what was known before is still to be there.
    """
    config = config or stage.config()
    with begun(stage, config) as (client, before):
        with listening() as said, fault():
            tally = both_halves(stage, config, pace=pace)
        logged = summary(said)
        began = time.monotonic()
        problem = catch_up(client)
        waited = time.monotonic() - began
        found, problem = _found(partial(stored, config.open_store()), problem)
    most, least = tally.answered + before, tally.answered + (before if kept else 0)
    history = f"{found.inferences:,} of {most:,}, {waited:.1f} s later"
    if found.inferences == least < most:
        history += f" (the fault destroyed {before})"
    is_right = not problem and least <= found.inferences <= most
    return tally.row(what, history, caught_up=is_right, problem=problem, logged=logged)


def _found(read: Callable[[], Stored], problem: str) -> tuple[Stored, str]:
    try:
        return read(), problem
    except StoreError as error:
        return Stored(0, 0, 0.0), problem or str(error)
