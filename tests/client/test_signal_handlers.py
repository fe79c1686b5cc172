"""Signal handlers that use a guarded client while the main thread uses one."""

from __future__ import annotations

import signal

import pytest

PROGRAM = """
import faulthandler, signal, sys
from datetime import datetime, timezone
from finetune_guard import GuardConfig, OpenAI
from finetune_guard.stores.memory import MemoryStore
import openai

faulthandler.dump_traceback_later(240, exit=True)
NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:bot:AbC123xY"
store = MemoryStore() if sys.argv[1] == "memory" else sys.argv[1]
http_client = openai.DefaultHttpxClient()
reasons, handled = set(), 0

def make():
    guard = GuardConfig(store=store, hosts=["127.0.0.1"], clock=lambda: NOW)
    url = "http://127.0.0.1:9/v1"
    return OpenAI(api_key="sk-test", base_url=url, guard=guard, http_client=http_client)

def use(client):
    reasons.add(client.guard.check().reason.value)
    client.guard.record(MODEL)
    client.guard.history()

def handle(*_):
    global handled
    handled += 1
    use(make())
    signal.setitimer(signal.ITIMER_REAL, 0.0005 + handled % 17 * 0.0004)

client = make()
client.guard.record(MODEL)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001)
while handled < 200:
    use(client)
signal.setitimer(signal.ITIMER_REAL, 0)
print(*sorted(reasons))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timers")
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_signal_handler_can_use_the_client_it_interrupted(run_program, tmp_path, kind):
    code, stdout, stderr = run_program(PROGRAM, "memory" if kind == "memory" else str(tmp_path / "guard"))
    assert (0, "recent_inference") == (code, stdout.strip()), stderr
