"""The SDK's own client and ours in its place: programs see the same, and the inference is remembered."""

from __future__ import annotations

import re

import pytest

from finetune_guard import Source
from tests.client.both_ways import done
from tests.client.scenarios import COMPLETIONS, INFERENCES, OTHER_CALLS, UNFINISHED
from tests.support.constants import START

pytestmark = pytest.mark.anyio

ID = re.compile(r"\b(chatcmpl|cmpl|resp|msg|file|call|fc|ftjob|req)[-_][A-Za-z0-9]{8,}")


def told(seen):
    """What a program saw: types and contents, with random ids replaced."""
    if isinstance(seen, list):
        return [told(item) for item in seen]
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
    [(each, 1) for each in (*INFERENCES, *COMPLETIONS)] + [(each, 0) for each in (*UNFINISHED, *OTHER_CALLS)],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_call_is_the_sdks_own_and_an_inference_is_remembered(sim, client, bare, scenario, counts):
    """Whatever is called, types, contents and requests are the SDK's, and an inference is remembered once.

    A stream counts with its first completion event and not before.
    """
    model = sim.add_model(base="davinci-002") if scenario in COMPLETIONS else sim.add_model()
    expected, expected_calls = told(await scenario(bare, model)), served(sim)
    assert expected == told(await scenario(client, model))
    assert expected_calls == served(sim)

    history = await done(client.guard.history())
    assert ({START.date(): {Source.OBSERVED: 1}} if counts else {}) == history.daily
    assert ({model: START} if counts else {}) == {name: last.at for name, last in history.models.items()}
