"""How many instructions the guard adds around a call: counted, so that no noise of the machine is in it.

Every count is the difference of two runs that differ in the number of calls alone.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from openai._models import FinalRequestOptions

from finetune_guard import GuardConfig
from hooks import sync_block
from isolated import KEY, Guarded, Isolated, chat, embedding, now, prepare
from table import Row, tell

CALLS = 20_000
NOTHING = "nothing"
KINDS: dict[str, tuple[Any, Callable[[], FinalRequestOptions]]] = {
    "bare": (Isolated, chat),
    "chat on a fine-tuned model": (Guarded, chat),
    "chat on a base model": (Guarded, partial(chat, "gpt-4o-mini-2024-07-18")),
    "embedding": (Guarded, embedding),
}


def rows() -> Iterator[Row]:
    """Count, where valgrind is there to do it."""
    if shutil.which("valgrind") is None:
        yield Row("instructions of the hooks", "left out: no valgrind is installed")
        return
    runs = (NOTHING, NOTHING, *KINDS)
    with ThreadPoolExecutor(2) as pool:
        base, again, *counts = pool.map(_counted, runs)
    bare, *others = ((count - base) / CALLS for count in counts)
    for kind, each in zip(list(KINDS)[1:], others, strict=True):
        yield Row(
            f"hooks, isolated: {kind}, sync, instructions",
            f"+{each - bare:,.0f} on {bare:,.0f}",
            f"{(again - base) / CALLS:+,.0f}",
        )


def _counted(kind: str) -> int:
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sys.executable,
        __file__,
        kind,
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    assert found is not None, ran.stderr
    return int(found[1])


def _work(kind: str) -> None:
    """Warm everything up, whatever is measured, and then make the calls of one kind."""
    config = GuardConfig(store="memory", clock=now)
    blocks = {}
    for name, (make, options) in KINDS.items():
        given = {"guard": config} if make is Guarded else {}
        client = make(api_key=KEY, **given)
        blocks[name] = sync_block(prepare(client, options()), options())
        blocks[name](200)
        if make is Guarded:
            client._finetune_guard.flush(60)
            blocks[name](10)
    gc.disable()
    if kind != NOTHING:
        blocks[kind](CALLS)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        tell(rows())
    else:
        _work(sys.argv[1])
        sys.stdout.flush()
        os._exit(0)  # what happens at the end is not counted
