"""Which answers show that a fine-tuned model ran, by what the SDK made of them and by their JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import BaseModel
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from finetune_guard.openai_api.completions import (
    StreamedCompletion,
    completed_model,
    completing_model,
    ended_response,
    fine_tuned_id,
    shows_completion_of,
    valid_model_name,
)
from tests.support.constants import BASE, COMPLETION
from tests.support.constants import FINE_TUNED as MODEL

OTHER = "ft:gpt-4.1-2025-04-14:acme-app::BPsYjUR8"
CHAT = {"object": "chat.completion", "model": MODEL, "choices": [{"index": 0}]}
RESPONSE = {"object": "response", "model": MODEL, "status": "completed", "output": [{"type": "message"}]}


class Mine(BaseModel):
    """A type of a program's own, which declares none of the fields."""


class Response(BaseModel):
    """The fields of the SDK's own, which not every release has."""

    model: str
    status: str
    output: list[object]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (MODEL, MODEL),
        (f"openai/{MODEL}", MODEL),
        ("ft:openai/gpt-oss-20b:acme::x", "ft:openai/gpt-oss-20b:acme::x"),
        (BASE, None),
        ("openai/ft", None),
        ("ft:" + "x" * 600, None),
        (7, None),
    ],
)
def test_model_id_is_found_behind_a_gateways_prefix(name, model):
    assert model == fine_tuned_id(name)


@pytest.mark.parametrize(
    ("answer", "requested", "model"),
    [
        (CHAT, MODEL, MODEL),
        (CHAT, None, MODEL),
        ({**CHAT, "model": f"openai/{MODEL}"}, None, MODEL),
        ({**CHAT, "model": OTHER}, MODEL, OTHER),
        ({**CHAT, "model": BASE}, MODEL, None),
        ({**CHAT, "model": 7}, MODEL, None),
        ({**CHAT, "model": None}, MODEL, MODEL),
        ({**CHAT, "model": None}, None, None),
        ({"choices": [{}]}, MODEL, MODEL),
        ({**CHAT, "choices": []}, MODEL, None),
        ({**CHAT, "choices": "x"}, MODEL, None),
        ({"error": {"message": "x"}, "model": MODEL}, MODEL, None),
        (RESPONSE, None, MODEL),
        ({**RESPONSE, "output": []}, MODEL, MODEL),
        ({**RESPONSE, "status": None}, MODEL, MODEL),
        ({**RESPONSE, "status": "incomplete"}, MODEL, MODEL),
        ({**RESPONSE, "status": "failed", "output": []}, MODEL, None),
        ({**RESPONSE, "status": "queued", "output": []}, MODEL, None),
        ({**RESPONSE, "status": "in_progress"}, MODEL, None),
        ("<html>", MODEL, None),
        (ChatCompletion.construct(**CHAT), None, MODEL),
        (Completion.construct(**{**CHAT, "model": BASE}), MODEL, None),
        (Mine.construct(**CHAT), None, MODEL),
        (Mine.construct(**RESPONSE), None, MODEL),
    ],
)
def test_answer_with_a_completion_names_the_model_that_ran(answer, requested, model):
    """A part of a completion is enough."""
    assert model == completing_model(answer, requested)
    assert (model == MODEL and requested == MODEL) == (
        requested == MODEL and shows_completion_of(answer, MODEL)
    )


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (ChatCompletion.construct(**{**CHAT, "model": BASE}), BASE),
        (Response.construct(**{**RESPONSE, "model": BASE}), BASE),
        (ChatCompletion.construct(**CHAT), MODEL),
        (ChatCompletion.construct(**{**CHAT, "choices": []}), None),
        (Response.construct(**{**RESPONSE, "status": "in_progress"}), None),
        (ChatCompletion.construct(**{**CHAT, "model": None}), None),
        (ChatCompletion.construct(**{**CHAT, "model": ""}), None),
        (ChatCompletion.construct(**{**CHAT, "model": "m" * 10_000}), None),
        (Mine.construct(model=BASE), None),
        ("<html>", None),
    ],
)
def test_most_answers_are_read_from_their_own_fields(answer, named):
    assert named == completed_model(answer)


CHUNK = {**CHAT, "object": "chat.completion.chunk"}
BEGUN = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}}
DELTA = {"type": "response.output_text.delta", "delta": "x"}
ENDED = {"type": "response.completed", "response": RESPONSE}
NAMELESS = {"type": "response.created", "response": {}}


def begun_by(model):
    return {**BEGUN, "response": {**BEGUN["response"], "model": model}}


@pytest.mark.parametrize(
    ("events", "requested", "model", "looked_at"),
    [
        ([CHUNK, CHUNK], MODEL, MODEL, 1),
        ([{**CHUNK, "choices": []}, CHUNK, CHUNK], MODEL, MODEL, 2),
        ([ChatCompletionChunk.construct(**CHUNK)], None, MODEL, 1),
        ([{**CHUNK, "model": BASE}, CHUNK], MODEL, None, 1),
        (["text", CHUNK], None, MODEL, 2),
        ([BEGUN, DELTA, DELTA], MODEL, MODEL, 2),
        ([BEGUN, {**BEGUN, "type": "response.in_progress"}, ENDED], None, MODEL, 3),
        ([NAMELESS, DELTA], MODEL, MODEL, 2),
        ([NAMELESS, DELTA], None, None, 1),
        ([{"type": "response.created"}, DELTA], MODEL, MODEL, 2),
        ([begun_by(BASE), DELTA], MODEL, None, 1),
        ([begun_by(OTHER), DELTA], MODEL, OTHER, 2),
        ([DELTA], MODEL, MODEL, 1),
        ([BEGUN, {"type": "response.failed", "response": {**RESPONSE, "output": []}}], None, MODEL, 2),
        ([BEGUN, {"type": "response.failed", "response": {"status": "failed"}}], MODEL, None, 2),
        ([{"type": "error", "message": "x"}], MODEL, None, 1),
        ([BEGUN], MODEL, None, 1),
        ([], MODEL, None, 0),
    ],
)
def test_stream_counts_from_its_first_completion_event(events, requested, model, looked_at):
    """An event that only says that a response has begun shows nothing yet."""
    stream, models = StreamedCompletion(requested), []
    for count, event in enumerate(events, start=1):
        models.append(stream.model_in(event))
        if stream.is_over:
            assert looked_at == count
            break
    else:
        assert looked_at == len(events)
    assert ([model] if model else []) == [model_id for model_id in models if model_id]
    if stream.is_over:
        assert stream.model_in(CHUNK) is None


@pytest.mark.parametrize(
    ("event", "response"),
    [(ENDED, RESPONSE), (BEGUN, None), (DELTA, None), ({"type": []}, None), ("text", None)],
)
def test_final_event_of_a_replayed_response_counts(event, response):
    assert response == ended_response(event)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([MODEL, BASE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("model", "choices", "output", "status", "type", "response")), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(anything, st.sampled_from([None, MODEL]))
def test_any_answer_gives_a_fine_tuned_model_or_nothing(answer, requested):
    for model in (completing_model(answer, requested), StreamedCompletion(requested).model_in(answer)):
        assert model is None or model == fine_tuned_id(model)


def test_deployment_answer_counts_with_any_model_or_none():
    names = ("gpt-4o", "", "a\nb", "x" * 513, 3)
    assert ["gpt-4o", "", None, None, None] == [valid_model_name(name) for name in names]
    assert "gpt-4o" == completing_model({**COMPLETION, "model": "gpt-4o"}, "", valid_model_name)
    assert "" == completing_model(COMPLETION, "", valid_model_name)
    assert completing_model({"error": "x"}, "", valid_model_name) is None
