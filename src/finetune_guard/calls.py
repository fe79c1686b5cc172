"""What a request is, told from its method, path and body before anything is sent.

No I/O and no clock here. A body is never read: only what the SDK holds as JSON or form fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from finetune_guard.models import MAX_MODEL_ID_LENGTH, FineTunedModel
from finetune_guard.words import Word

_INFERENCE_PATHS = ("/chat/completions", "/responses", "/completions")
_JOBS_PATH = "/fine_tuning/jobs"
_UPLOAD_PATHS = ("/files", "/uploads")
_RECORDS_PATH = re.compile(r"/(batches|fine_tuning/jobs|models)(?:/[^/]+)?")


class RequestOptions(Protocol):
    """The part of the SDK's request options that is looked at."""

    method: str
    url: str
    json_data: object
    extra_json: Mapping[str, object] | None


@dataclass(frozen=True)
class JobCreation:
    """A fine-tuning job is about to be created.

    Attributes:
        model: The model to be tuned, when the body says so.
    """

    model: str | None


@dataclass(frozen=True)
class TrainingUpload:
    """A file is about to be uploaded for fine-tuning."""


@dataclass(frozen=True)
class InferenceCall:
    """A fine-tuned model is called.

    Attributes:
        model: Its id.
    """

    model: str


class RecordKind(Word):
    """What the API is asked to show."""

    BATCHES = "batches"
    JOBS = "fine_tuning/jobs"
    MODELS = "models"


@dataclass(frozen=True)
class RecordsCall:
    """The API is asked for one or several of its records, which tell what happened elsewhere.

    Attributes:
        kind: Of what.
    """

    kind: RecordKind


GuardedCall: TypeAlias = JobCreation | TrainingUpload
Call: TypeAlias = JobCreation | TrainingUpload | InferenceCall | RecordsCall


def classify(options: RequestOptions) -> Call | None:
    """Return what the request is; None when the guard has nothing to do with it.

    Relative, unslashed and absolute URLs mean the same here; which host they go to is asked
    elsewhere. A model given with ``extra_body`` wins, as it does on the wire.
    """
    method, path = options.method.lower(), _path(options.url)
    if method != "post":
        return _records(path) if method == "get" else None
    if path in _INFERENCE_PATHS:
        model = _field(options, "model")
        return InferenceCall(model) if isinstance(model, str) and FineTunedModel.parse(model) else None
    if path == _JOBS_PATH:
        model = _field(options, "model")
        return JobCreation(model if isinstance(model, str) and len(model) <= MAX_MODEL_ID_LENGTH else None)
    if path in _UPLOAD_PATHS and _field(options, "purpose") == "fine-tune":
        return TrainingUpload()
    return RecordsCall(RecordKind.BATCHES) if path == "/batches" else None


def _records(path: str) -> RecordsCall | None:
    records = _RECORDS_PATH.fullmatch(path)
    return RecordsCall(RecordKind(records[1])) if records else None


def _path(url: str) -> str:
    """The path below the API's root: ``/chat/completions`` for every way to write it."""
    path = url.split("?", 1)[0].split("#", 1)[0]
    if "://" in path:
        path = path.split("://", 1)[1].partition("/")[2]
        root, version, rest = f"/{path}".partition("/v1/")  # a gateway's root may be longer than that
        path = rest if version else root
    return "/" + path.strip("/")


def _field(options: RequestOptions, name: str) -> object:
    extra = options.extra_json
    if extra is not None and name in extra:
        return extra[name]
    body = options.json_data
    return body.get(name) if isinstance(body, Mapping) else None
