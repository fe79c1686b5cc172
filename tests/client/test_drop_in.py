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


def named(scenarios):
    return pytest.mark.parametrize("scenario", scenarios, ids=lambda scenario: scenario.__name__)


@named(INFERENCES)
async def test_an_inference_is_the_sdks_own_and_is_remembered(sim, client, bare, model, scenario):
    """Whatever way a model is called, types, contents and requests are the SDK's; it counts once."""
    expected, expected_calls = told(await scenario(bare, model)), served(sim)
    assert expected == told(await scenario(client, model))
    assert expected_calls == served(sim)

    history = await done(client.guard.history())
    assert {START.date(): {Source.OBSERVED: 1}} == history.daily
    assert [model] == list(history.models)
    assert START == history.last_inference.at


@named(COMPLETIONS)
async def test_a_completion_is_the_sdks_own_and_is_remembered(sim, client, bare, scenario):
    """The models from before chats are called as ever, and remembered too."""
    model = sim.add_model(base="davinci-002")
    expected, expected_calls = told(await scenario(bare, model)), served(sim)
    assert expected == told(await scenario(client, model))
    assert expected_calls == served(sim)
    assert {START.date(): {Source.OBSERVED: 1}} == (await done(client.guard.history())).daily


@named(UNFINISHED)
async def test_a_stream_that_is_left_at_once_shows_no_inference(sim, client, bare, model, scenario):
    """A stream counts with its first completion event and not before; the program sees no difference."""
    expected, expected_calls = told(await scenario(bare, model)), served(sim)
    assert expected == told(await scenario(client, model))
    assert expected_calls == served(sim)
    assert {} == (await done(client.guard.history())).models


@named(OTHER_CALLS)
async def test_other_calls_are_left_alone(sim, client, bare, scenario):
    """What has nothing to do with fine-tuning goes through as it is, and leaves no trace."""
    expected, expected_calls = told(await scenario(bare, None)), served(sim)
    assert expected == told(await scenario(client, None))
    assert expected_calls == served(sim)
    assert {} == (await done(client.guard.history())).models
