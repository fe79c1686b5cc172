"""Measures several processes that write to one store: errors, lost inferences and waiting times.

Every process makes inferences at a steady pace, each on a new model, so that each is written immediately;
otherwise all but a model's first inference are written once a minute.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from finetune_guard import GuardConfig
from finetune_guard.stores.open import open_store
from isolated import KEY, Guarded, chat, prepare
from table import Row, print_rows

PROCESSES, PACE, SECONDS = 8, 50, 5.0
FLUSH_TIMEOUT = 60.0


def rows() -> Iterator[Row]:
    """Write to a folder, and to Redis if it is installed."""
    with tempfile.TemporaryDirectory() as folder:
        yield _row("one folder on disk", str(Path(folder, "store")))
    if shutil.which("redis-server") is None:
        yield Row(f"{PROCESSES} processes writing to Redis", "left out: no redis-server is installed")
        return
    sys.path.append(str(Path(__file__).parent.parent))
    from tests.support.redis_server import RedisServer  # noqa: PLC0415 -- it is where the tests are

    with RedisServer() as server:
        yield _row("one Redis server", server.url)


def _row(where: str, store: str) -> Row:
    command = [sys.executable, __file__, store]
    running = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    found = [json.loads(process.communicate()[0]) for process in running]
    made, errors, logged = (sum(each[name] for each in found) for name in ("made", "errors", "logged"))
    days = open_store(store).history("acme-28gund").daily
    counted = sum(sum(counts.values()) for counts in days.values())
    failed = sum(not each["flushed"] for each in found)
    slowest = max(each["slowest"] for each in found)
    return Row(
        f"{PROCESSES} processes writing to {where}, {PACE} inferences a second each for {SECONDS:.0f} s",
        f"{errors} errors, {counted:,} of {made:,} counted, {failed} flushes failed, {logged} warnings, "
        f"flushed within {max(each['flush'] for each in found):.1f} s; longest call {slowest * 1e3:.1f} ms",
        "",
        "0 errors, all counted",
        errors == 0 and counted == made,
        f"{errors} errors, {made - counted} inferences lost.",
    )


def _work(store: str, number: str) -> None:
    warnings: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = warnings.append  # type: ignore[method-assign, assignment]
    logging.getLogger("finetune_guard").addHandler(handler)
    client = prepare(Guarded(api_key=KEY, guard=GuardConfig(store=store)), chat())
    made = errors = 0
    slowest = 0.0
    began = time.monotonic()
    while (due := began + made / PACE) < began + SECONDS:
        time.sleep(max(0.0, due - time.monotonic()))
        call = chat(f"ft:gpt-4o-mini-2024-07-18:acme::{number}x{made}")
        asked = time.perf_counter()
        try:
            client.request(object, call)
        except Exception:  # noqa: BLE001 -- every error counts
            errors += 1
        slowest = max(slowest, time.perf_counter() - asked)
        made += 1
    ended = time.monotonic()
    client._finetune_guard.flush(FLUSH_TIMEOUT)
    flush, flushed = time.monotonic() - ended, not client._finetune_guard.engine.recorder.has_unwritten
    counts = {"made": made, "errors": errors, "flushed": flushed, "flush": flush}
    print(json.dumps({**counts, "slowest": slowest, "logged": len(warnings)}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print_rows(rows())
    else:
        _work(*sys.argv[1:])
