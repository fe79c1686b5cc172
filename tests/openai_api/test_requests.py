"""What a request is, told before it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from finetune_guard.openai_api.requests import (
    InferenceCall,
    JobCreation,
    RecordKind,
    RecordsCall,
    TrainingUpload,
    base_model_called,
    called_name,
    classify,
    guarded_call,
    operation_of,
)
from tests.support.constants import BASE
from tests.support.constants import FINE_TUNED as MODEL


@dataclass
class Options:
    """The part of the SDK's request options that matters here."""

    url: str
    json_data: Any = field(default_factory=dict)
    method: str = "post"
    extra_json: Any = None


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/completions"])
@pytest.mark.parametrize(
    "written", ["{}", "{}/", "{}?x=1", "https://api.openai.com/v1{}", "https://eu.api.openai.com/v1{}#a"]
)
def test_inference_is_recognized_in_every_path_form(path, written):
    assert InferenceCall(MODEL) == classify(Options(written.format(path), {"model": MODEL}))
    assert InferenceCall(MODEL) == classify(Options(written.format(path).lstrip("/"), {"model": MODEL}))


@pytest.mark.parametrize(
    ("options", "call"),
    [
        (Options("/fine_tuning/jobs", {"model": BASE}), JobCreation(BASE)),
        (Options("fine_tuning/jobs", {"model": MODEL}, method="POST"), JobCreation(MODEL)),
        (Options("https://api.openai.com/v1/fine_tuning/jobs", {}), JobCreation(None)),
        (Options("/fine_tuning/jobs", {"model": 7}), JobCreation(None)),
        (Options("/fine_tuning/jobs", {"model": "x" * 1000}), JobCreation(None)),
        (Options("/files", {"purpose": "fine-tune"}), TrainingUpload()),
        (Options("/uploads", {"purpose": "fine-tune"}), TrainingUpload()),
        (Options("/uploads", {}, extra_json={"purpose": "fine-tune"}), TrainingUpload()),
        (Options("/batches", {}), RecordsCall(RecordKind.BATCHES)),
        (Options("/batches/batch_1", method="get"), RecordsCall(RecordKind.BATCHES)),
        (Options("/fine_tuning/jobs/ftjob-1", method="GET"), RecordsCall(RecordKind.JOBS)),
        (Options("https://api.openai.com/v1/models", method="get"), RecordsCall(RecordKind.MODELS)),
        (Options(f"/models/{MODEL}", method="get"), RecordsCall(RecordKind.MODELS)),
        (Options("/responses/resp_1?stream=true", method="get"), RecordsCall(RecordKind.RESPONSES)),
        (Options("/chat/completions", {"model": BASE}, extra_json={"model": MODEL}), InferenceCall(MODEL)),
        (Options("/responses", {"prompt": {"id": "pmpt_1"}}), InferenceCall(None)),
        (Options("/chat/completions", {"model": BASE}), InferenceCall(None)),
        (Options("/chat/completions", {"model": MODEL}, extra_json={"model": BASE}), InferenceCall(None)),
        (Options("/chat/completions", {"model": "x" * 1000}), InferenceCall(None)),
        (Options("/chat/completions", b"raw"), InferenceCall(None)),
    ],
)
def test_jobs_uploads_inferences_and_records_are_classified(options, call):
    assert call == classify(options)
    assert (call if isinstance(call, JobCreation | TrainingUpload) else None) == guarded_call(options)


@pytest.mark.parametrize(
    "options",
    [
        Options("/chat/completions", {"model": MODEL}, method="get"),
        Options("/embeddings", {"model": MODEL}),
        Options("/fine_tuning/jobs", method="delete"),
        Options("/batches/batch_1/cancel"),
        Options("/responses/resp_1/input_items", method="get"),
        Options("/files", {"purpose": "batch"}),
        Options("https://api.openai.com", {"model": MODEL}),
        Options("", {}),
    ],
)
def test_other_requests_are_not_classified(options):
    assert classify(options) is None is guarded_call(options)


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (Options("/chat/completions", {"model": BASE}), BASE),
        (Options("/embeddings", {"model": "ada"}, method="POST"), "ada"),
        (Options("/chat/completions", {"model": MODEL}), None),
        (Options("/fine_tuning/jobs", {"model": BASE}), None),
        (Options("/files", {"purpose": "fine-tune", "model": BASE}), None),
        (Options("/models", {"model": BASE}, method="get"), None),
        (Options("/responses", {"model": ""}), None),
        (Options("/responses", {"model": "x" * 1000}), None),
    ],
)
def test_base_model_of_a_request(options, model):
    assert model == base_model_called(options)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/openai/deployments/support/chat/completions", {"model": "ignored"}, "support"),
        ("/openai/v1/responses", {"model": "support"}, "support"),
        ("/v1/chat/completions", {"model": "x" * 600}, None),
        ("/v1/chat/completions", {"model": 7}, None),
        ("/v1/chat/completions", b"not read", None),
    ],
)
def test_model_comes_from_azures_path_or_the_body(path, body, expected):
    assert expected == called_name(Options("/chat/completions", body), path)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("post", "/openai/deployments/support/chat/completions", "chat.completions"),
        ("POST", "/openai/v1/responses/", "responses"),
        ("post", "/inference/v1/completions", "completions"),
        ("post", "/openai/v1/embeddings", None),
        ("get", "/openai/v1/responses", None),
    ],
)
def test_inference_kind_is_known_by_the_paths_end(method, path, expected):
    assert expected == operation_of(method, path)
