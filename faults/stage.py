"""The server, folder and clients with which a fault is tried."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

import finetune_guard
from finetune_guard import FineTuneGuardWarning, GuardConfig, Store

BARE, AGAIN, GUARDED = "bare", "bare again", "guarded"
KEYS = {BARE: "sk-bare", AGAIN: "sk-bare-again", GUARDED: "sk-guarded"}  # not secret

warnings.simplefilter("ignore", FineTuneGuardWarning)  # such as those about shutdown dates


@dataclass(frozen=True)
class Stage:
    """The server's port, and a temporary folder for one fault."""

    port: int
    folder: Path
    quick: bool

    @property
    def calls(self) -> int:
        """The number of inferences to make."""
        return 200 if self.quick else 1_000

    @property
    def history(self) -> Path:
        """The folder of the history."""
        return self.folder / "history"

    def config(self, store: str | Store | None = None, **fields: Any) -> GuardConfig:
        """Return the configuration of the guarded client."""
        place = store if store is not None else self.history
        return GuardConfig(store=place, hosts=[f"127.0.0.1:{self.port}"], **fields)

    def client(self, kind: type, name: str, **options: Any) -> Any:
        """Return a client of the server."""
        url = f"http://127.0.0.1:{self.port}/v1"
        return kind(base_url=url, api_key=KEYS[name], max_retries=0, timeout=60, **options)

    def clients(self, config: GuardConfig, *, asynchronous: bool = False, **options: Any) -> dict[str, Any]:
        """Return the three clients to compare, all sync or all async."""
        kind = "AsyncOpenAI" if asynchronous else "OpenAI"
        bare, ours = getattr(openai, kind), getattr(finetune_guard, kind)
        return {
            **{name: self.client(bare, name, **options) for name in (BARE, AGAIN)},
            GUARDED: self.client(ours, GUARDED, guard=config, **options),
        }
