"""A guarded client behaves as the SDK's own client, and records each inference."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest

from finetune_guard import Source
from finetune_guard.simulator import Fault
from tests.client.flavours import done
from tests.client.scenarios import COMPLETIONS, INFERENCES, OTHER_CALLS, UNFINISHED
from tests.support.constants import COMPLETION, START

pytestmark = pytest.mark.anyio

ID = re.compile(r"\b(chatcmpl|cmpl|resp|msg|file|call|fc|ftjob|req)[-_][A-Za-z0-9]{8,}")


def comparable(seen):
    """Types and contents of a result, with random ids replaced."""
    if isinstance(seen, list):
        return [comparable(item) for item in seen]
    return type(seen), ID.sub(r"\1-id", repr(seen))


def served(sim):
    """The calls that the API has answered since the last look."""
    calls = [
        (call.method, ID.sub(r"\1-id", call.path), call.model, call.status, call.stream) for call in sim.calls
    ]
    sim.clear_calls()
    return calls


@pytest.mark.parametrize(
    ("scenario", "counts"),
    [(call, 1) for call in (*INFERENCES, *COMPLETIONS)] + [(call, 0) for call in (*UNFINISHED, *OTHER_CALLS)],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_every_call_equals_the_sdks_and_is_recorded_once(sim, client, bare, scenario, counts):
    model = sim.add_model(base="davinci-002") if scenario in COMPLETIONS else sim.add_model()
    expected, expected_calls = comparable(await scenario(bare, model)), served(sim)
    assert expected == comparable(await scenario(client, model))
    assert expected_calls == served(sim)

    history = await done(client.guard.history())
    assert ({START.date(): {Source.OBSERVED: 1}} if counts else {}) == history.daily
    assert ({model: START} if counts else {}) == {name: last.at for name, last in history.models.items()}


CHECKPOINT = "ft:gpt-4.1-2025-04-14:personal:sharp-pluck:CZtsdFlR:ckpt-step-16"
LEGACY = "davinci:ft-acme-2022-12-22-07-26-01"


@pytest.mark.parametrize("model", [CHECKPOINT, LEGACY])
@pytest.mark.parametrize("path", ["chat/completions", "responses", "completions"])
async def test_every_model_id_form_is_recorded_on_every_endpoint(connect, sim, model, path):
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
async def test_server_date_counts_unless_it_is_weeks_off(client, infer, sim, date, remembered):
    sim.fault(Fault(path="/v1/chat/completions", headers={"date": date}))
    await infer(client)
    assert remembered == (await done(client.guard.history())).last_inference.at
