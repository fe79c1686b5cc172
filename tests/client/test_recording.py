"""What is remembered of an inference: which model, when, and whose."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from finetune_guard import GuardConfig
from finetune_guard.simulator import Fault
from tests.client.both_ways import done
from tests.support.constants import COMPLETION, MESSAGES, START

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
IDS = {
    "checkpoint": "ft:gpt-4.1-2025-04-14:personal:sharp-pluck:CZtsdFlR:ckpt-step-16",
    "legacy": "davinci:ft-acme-2022-12-22-07-26-01",
}


@pytest.mark.parametrize("model", IDS.values(), ids=IDS)
@pytest.mark.parametrize("path", ["chat/completions", "responses", "completions"])
async def test_every_form_of_id_is_remembered_on_every_path(connect, sim, model, path):
    """Fine-tunes of every age count, on whichever endpoint they answer."""
    client = connect()
    sim.fault(Fault(path=f"/v1/{path}", body=COMPLETION, status=200))
    await done(client.post(f"/{path}", body={"model": model, "input": "x"}, cast_to=object))
    assert [model] == list((await done(client.guard.history())).models)


@pytest.mark.parametrize(
    ("date", "remembered"),
    [
        ("Sat, 01 Aug 2026 09:30:00 GMT", datetime(2026, 8, 1, 9, 30, tzinfo=timezone.utc)),
        ("Fri, 31 Jul 2026 23:00:00 GMT", datetime(2026, 7, 31, 23, tzinfo=timezone.utc)),
        ("Mon, 10 Aug 2026 00:00:00 GMT", START),
        ("Thu, 01 Jan 1970 00:00:00 GMT", START),
        ("9" * 5000, START),
    ],
)
async def test_the_servers_date_counts_when_it_is_sane(client, infer, sim, date, remembered):
    """An inference happened when the server says, unless that is weeks off; then the clock decides."""
    sim.fault(Fault(path=CHAT, headers={"date": date}))
    await infer(client)
    assert remembered == (await done(client.guard.history())).last_inference.at


async def test_without_a_date_the_clock_decides(way, closing, wire, clock):
    """Gateways may strip the Date header."""
    wire.route().respond(200, json=COMPLETION)
    client = closing(way.guarded(api_key="sk-test", guard=GuardConfig(store="memory", clock=clock)))
    await done(client.chat.completions.create(model=IDS["legacy"], messages=MESSAGES))
    assert START == (await done(client.guard.history())).last_inference.at
