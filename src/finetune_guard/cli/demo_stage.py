"""What the demo plays on: the simulator, a clock to turn, a folder, and programs that are really run."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from typing_extensions import Self

from finetune_guard.cli.failures import SetupError
from finetune_guard.client.classes import OpenAI
from finetune_guard.config import ENVIRONMENT_PREFIX, GuardConfig
from finetune_guard.rules.enforcement import moment
from finetune_guard.rules.keep_alive import KeepAlive
from finetune_guard.simulator import ServedCall, SimulatedClock, Simulator
from finetune_guard.stores.keys import parts
from finetune_guard.testing import simulator_environment

OPENING = datetime(2026, 8, 3, 9, 0, tzinfo=timezone.utc)
_FOREIGN = ("OPENAI_", ENVIRONMENT_PREFIX)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PATIENCE = timedelta(seconds=60)


class Stage:
    """A simulated API on this machine and the programs that use it; a context manager.

    Args:
        folder: An empty folder, for the history and the training file.
    """

    def __init__(self, folder: Path) -> None:
        self.history = folder / "history"
        self.training_file = folder / "examples.jsonl"
        self.clock = SimulatedClock(OPENING)
        self.admin_key = "sk-admin-of-the-demo"
        self.simulator = Simulator(clock=self.clock, admin_key=self.admin_key)
        self.model = self.simulator.add_model(suffix="pilot")
        self._clients: list[OpenAI] = []
        self._environment = _own_environment()

    def __enter__(self) -> Self:
        self._environment.__enter__()
        self.simulator.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(Exception):  # the first failure is the one to tell
            for client in self._clients:
                client.close()
        self.simulator.stop()
        self._environment.__exit__(None, None, None)

    @property
    def api_key(self) -> str:
        """The organization's API key."""
        return self.simulator.organization().api_key

    def client(self, keep_alive: KeepAlive | None = None, *, admin: bool = False) -> OpenAI:
        """Return a guarded client that speaks to the simulator and lives in its time.

        Args:
            keep_alive: When it keeps the window open; None for never.
            admin: Whether it has the organization's admin key.
        """
        config = GuardConfig(
            store=self.history,
            hosts=[self.simulator.host],
            clock=self.clock,
            keep_alive=keep_alive,
            admin_api_key=self.admin_key if admin else None,
        )
        client = OpenAI(
            base_url=self.simulator.base_url,
            api_key=self.api_key,
            guard=config,
            max_retries=0,
        )
        self._clients.append(client)
        return client

    def advance(self, by: timedelta) -> str:
        """Turn the clock on and return the new time as it is shown."""
        return moment(self.clock.advance(by))

    def turn(self, to: datetime) -> str:
        """Turn the clock and return the new time as it is shown."""
        self.clock.set(to)
        return self.time

    @property
    def time(self) -> str:
        """The simulated time as it is shown."""
        return moment(self.clock())

    @property
    def calls(self) -> tuple[ServedCall, ...]:
        """What has reached the server so far."""
        return self.simulator.calls

    def run_example(self, argument: str) -> str:
        """Run the example program in a process of its own and return what it printed.

        Raises:
            SetupError: It failed.
        """
        finished = subprocess.run(  # noqa: S603 -- our own example, by this Python
            [sys.executable, str(example()), argument],
            env={**os.environ, **simulator_environment(self.simulator, self.history)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE.total_seconds(),
            check=False,
        )
        if finished.returncode:
            raise SetupError(f"The example program failed:\n{finished.stderr.strip()}")
        return finished.stdout.strip()

    def files(self) -> Iterator[tuple[str, str, int]]:
        """Yield the history's folder and files: the name, the mode, the size."""
        for path in (self.history, *sorted(self.history.iterdir())):
            found = path.stat()
            name = f"{path.name}/" if path.is_dir() else f"{self.history.name}/{path.name}"
            yield name, stat.filemode(found.st_mode), found.st_size

    def rows(self) -> Mapping[str, int]:
        """Return how many rows of each kind the database has, read by plain SQLite."""
        uri = f"{(self.history / 'cache.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            return Counter(parts(key)[0] for (key,) in database.execute("SELECT key FROM Cache"))

    def occurrences(self, text: str) -> int:
        """Return how often ``text`` is found in the bytes of the history's files."""
        wanted = text.encode()
        return sum(path.read_bytes().count(wanted) for path in self.history.iterdir())


def example() -> Path:
    """Return the example program: beside this module when installed, else in the checkout.

    Raises:
        SetupError: It is in neither place.
    """
    places = (Path(__file__).with_name("drop_in.py"), Path(__file__).parents[3] / "examples" / "drop_in.py")
    for place in places:
        if place.is_file():
            return place
    raise SetupError("The example program drop_in.py is missing: install finetune-guard again.")


@contextmanager
def _own_environment() -> Iterator[None]:
    """Take away what the user's environment says about the API, the guard and proxies."""
    taken = {
        name: value
        for name, value in os.environ.items()
        if name.upper().startswith(_FOREIGN) or name.upper() in _PROXIES
    }
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)
