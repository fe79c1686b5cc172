"""Several processes that write to one store at the same time: what goes wrong, what is lost, who waits.

Every process makes inferences at a steady pace and every one of them on a model that it hasn't used before,
so that each is due at once; in a program all but the first of a model wait for a minute and are added up.
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
from table import Row, tell

PROCESSES, PACE, SECONDS = 8, 50, 5.0
FLUSH_TIMEOUT = 60.0


def rows() -> Iterator[Row]:
    """Let them write to a folder, and to a server where there is one."""
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
        except Exception:  # noqa: BLE001 -- any is one too many
            errors += 1
        slowest = max(slowest, time.perf_counter() - asked)
        made += 1
    ended = time.monotonic()
    client._finetune_guard.flush(FLUSH_TIMEOUT)
    flush, flushed = time.monotonic() - ended, not client._finetune_guard.engine.recorder.has_unwritten
    told = {"made": made, "errors": errors, "flushed": flushed, "flush": flush}
    print(json.dumps({**told, "slowest": slowest, "logged": len(warnings)}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        tell(rows())
    else:
        _work(*sys.argv[1:])
