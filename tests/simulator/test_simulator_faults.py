from __future__ import annotations

import openai
import pytest
from pydantic import ValidationError

from finetune_guard.simulator import Fault
from tests.support.constants import BASE, MESSAGES

CHAT = "/v1/chat/completions"


@pytest.fixture
def chat(client, model):
    def create(**options):
        return client.chat.completions.create(**{"model": model, "messages": MESSAGES, **options})

    return create


def broken(call):
    with pytest.raises(openai.InternalServerError) as caught:
        call()
    return caught.value


def test_fault_applies_to_its_number_of_calls(sim, chat):
    """Such calls have no effect."""
    sim.fault(Fault(path=CHAT, method="POST", status=503, code="overloaded", message="later", times=2))
    for _ in range(2):
        error = broken(chat)
        assert (503, "overloaded", "later") == (error.status_code, error.code, error.body["message"])
    assert sim.last_inference() is None
    assert chat().id

    sim.fault(Fault(path=CHAT, times=None))
    assert {500} == {broken(chat).status_code for _ in range(3)}
    sim.clear_faults()
    assert chat().id


def test_fault_applies_only_to_its_path_method_and_model(sim, client, chat, model):
    sim.fault(Fault(path="/v1/models*", method="GET", status=500, times=None))
    sim.fault(Fault(path=CHAT, model=model, status=500, times=None))
    sim.fault(Fault(path="/v1/files", status=500, times=None))
    assert chat(model=BASE).id
    assert client.responses.create(model=model, input="hello").id
    assert [] == list(client.files.list())
    for call in (chat, client.models.list, lambda: client.models.retrieve(BASE)):
        broken(call)


@pytest.mark.parametrize(
    ("fault", "kind", "expected"),
    [
        (Fault.rate_limited(), openai.RateLimitError, (429, "rate_limit_exceeded")),
        (Fault.insufficient_quota(), openai.RateLimitError, (429, "insufficient_quota")),
        (Fault.billing_hard_limit(), openai.BadRequestError, (400, "billing_hard_limit_reached")),
        (Fault.unauthorized(), openai.AuthenticationError, (401, "invalid_api_key")),
        (Fault.scaling_up(), openai.InternalServerError, (503, "DEPLOYMENT_SCALING_UP")),
        (
            Fault.training_not_available(path=CHAT),
            openai.PermissionDeniedError,
            (403, "training_not_available"),
        ),
    ],
)
def test_named_faults_have_the_apis_status_and_code(sim, chat, fault, kind, expected):
    sim.fault(fault)
    with pytest.raises(kind) as caught:
        chat()
    assert expected == (caught.value.status_code, caught.value.code)


def test_fault_with_a_custom_body(sim, client, chat):
    sim.fault(Fault(path=CHAT, status=502, body="<html>Bad gateway</html>"))
    assert "<html>Bad gateway</html>" == broken(chat).response.text
    sim.fault(Fault(path="/v1/models", method="GET", status=200, body={"object": "list", "data": []}))
    assert [] == list(client.models.list())


def test_malformed_stream_starts_correctly(sim, chat):
    sim.fault(Fault(path=CHAT, malformed=True))
    with chat(stream=True) as stream:
        assert next(stream).id
        with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
            next(stream)


@pytest.mark.parametrize("cut_after", [0, 40])
def test_cut_connection_fails_though_the_inference_counts(sim, chat, cut_after):
    sim.fault(Fault(path=CHAT, cut_after=cut_after))
    with pytest.raises(openai.APIConnectionError):
        chat()
    assert sim.last_inference() is not None
    assert chat().id


@pytest.mark.parametrize("cut_after", [0, 3])
def test_cut_stream_fails_after_its_number_of_events(sim, chat, cut_after):
    sim.fault(Fault(path=CHAT, cut_after=cut_after))
    models = []
    with pytest.raises(Exception) as caught:  # noqa: PT011, PT012 # the loop is what breaks; of what type depends on the SDK
        for chunk in chat(stream=True):
            models.append(chunk)  # noqa: PERF402 # what came before the cut is wanted
    assert type(caught.value).__name__ in {"RemoteProtocolError", "APIConnectionError"}
    assert cut_after == len(models)


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "chat/completions"},
        {"path": CHAT, "status": 99},
        {"path": CHAT, "malformed": True, "body": {}},
        {"path": CHAT, "unknown": 1},
    ],
)
def test_invalid_fault_is_refused(fields):
    with pytest.raises(ValidationError):
        Fault(**fields)
