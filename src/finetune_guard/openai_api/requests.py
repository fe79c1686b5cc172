"""Classifies a request by its method, path and body before it is sent.

Only the SDK's JSON or form fields are used; a body is never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeAlias, cast

from finetune_guard.domain.idle_policy import Operation
from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH
from finetune_guard.domain.values import StrEnum
from finetune_guard.openai_api.completions import fine_tuned_id

_LONGEST_URL = 2_048
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
_OPERATION = re.compile(r"/(chat/completions|completions|responses)/?\Z")
_RECORDS_PATH = re.compile(r"/(batches|fine_tuning/jobs|models|responses)(?:/[^/]+)?")


class RequestOptions(Protocol):
    """The parts of the SDK's request options used here."""

    method: str
    url: str
    json_data: object
    extra_json: Mapping[str, object] | None


class JobCreation(NamedTuple):
    """The creation of a fine-tuning job, for the model in the body, if any."""

    model: str | None


@dataclass(frozen=True)
class TrainingUpload:
    """An upload of a file for fine-tuning."""


class InferenceCall(NamedTuple):
    """A call of a model: the fine-tuned one in the request, or None if only the answer can name it."""

    model: str | None


class RecordKind(StrEnum):
    """The endpoints of records that can prove inferences or fine-tuning."""

    BATCHES = "batches"
    JOBS = "fine_tuning/jobs"
    MODELS = "models"
    RESPONSES = "responses"


class RecordsCall(NamedTuple):
    """A request for one or more records, which may be about other programs' calls."""

    kind: RecordKind


GuardedCall: TypeAlias = JobCreation | TrainingUpload
Call: TypeAlias = JobCreation | TrainingUpload | InferenceCall | RecordsCall
CallKind: TypeAlias = type[InferenceCall | GuardedCall] | RecordsCall | None


_POSTED_TO: dict[str, type[InferenceCall | GuardedCall]] = {
    "/chat/completions": InferenceCall,
    "/responses": InferenceCall,
    "/completions": InferenceCall,
    "/fine_tuning/jobs": JobCreation,
    "/files": TrainingUpload,
    "/uploads": TrainingUpload,
}


def classify(options: RequestOptions) -> Call | None:
    """Return the kind and details of a request; None if the guard ignores it.

    The host is checked elsewhere. A model in ``extra_body`` wins, as it does on the wire.
    """
    return call_of(call_kind(options.method, options.url), options)


def call_of(kind: CallKind, options: RequestOptions) -> Call | None:
    """Do as ``classify`` does for a request whose kind is known."""
    if kind is InferenceCall:  # first, for speed
        model = _model_in(options)
        return _inference(model) if model is not None else _NO_FINE_TUNE
    return kind if kind is None or isinstance(kind, RecordsCall) else _to_guarded_call(kind, options)


def base_model_called(options: RequestOptions) -> str | None:
    """Return the base model that a request to any endpoint calls; None for a fine-tune or a job."""
    if options.method.lower() != "post" or guarded_call(options) is not None:
        return None
    model = _model_in(options)
    return model if model and fine_tuned_id(model) is None else None


def guarded_call(options: RequestOptions) -> GuardedCall | None:
    """Return the call if it needs a decision: a job or an upload; otherwise None."""
    kind = call_kind(options.method, options.url)
    return _to_guarded_call(kind, options) if kind is JobCreation or kind is TrainingUpload else None


def _to_guarded_call(kind: object, options: RequestOptions) -> GuardedCall | None:
    if kind is JobCreation:
        return JobCreation(_model_in(options))
    return TrainingUpload() if _field(options, "purpose") == "fine-tune" else None


_NO_FINE_TUNE = InferenceCall(None)


@lru_cache(maxsize=1024)
def _inference(model: str) -> InferenceCall:
    return InferenceCall(fine_tuned_id(model))


def call_kind(method: str, url: str) -> CallKind:
    """Return the class of a call, or the call itself if the body doesn't matter."""
    return _call_kind(method, url[:_LONGEST_URL])


@lru_cache(maxsize=1024)
def _call_kind(method: str, url: str) -> CallKind:
    method, path = method.lower(), _path(url)
    if method == "get" or (method == "post" and path == "/batches"):
        records = _RECORDS_PATH.fullmatch(path)
        return RecordsCall(RecordKind(records[1])) if records else None
    return _POSTED_TO.get(path) if method == "post" else None


def root_path(path: str) -> str:
    """Return the path of the API's root, without a slash at its end, from that of an absolute URL."""
    root, version, _ = path.partition("/v1/")  # a gateway's root may be longer than that
    return root + version.rstrip("/") if version else ""


def _path(url: str) -> str:
    """Return the path below the API's root, such as ``/chat/completions``, in one form."""
    path = url.split("?", 1)[0].split("#", 1)[0]
    if "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
        path = path.removeprefix(root_path(path))
    return "/" + path.strip("/")


def called_name(options: RequestOptions, path: str) -> str | None:
    """Return the model or deployment that an inference calls; Azure's older paths contain it."""
    in_path = _deployment(path)
    return _valid_name(in_path) if in_path is not None else _model_in(options)


@lru_cache(maxsize=1024)
def _deployment(path: str) -> str | None:
    match = _DEPLOYMENT.search(path)
    return match[1] if match is not None else None


def operation_of(method: str, path: str) -> Operation | None:
    """Return the kind of inference of a request to ``path``; None if it is not one."""
    return _operation(path) if method.lower() == "post" else None


@lru_cache(maxsize=1024)
def _operation(path: str) -> Operation | None:
    match = _OPERATION.search(path)
    return cast("Operation", match[1].replace("/", ".")) if match is not None else None


def _model_in(options: RequestOptions) -> str | None:
    """Return the model in a body; None if there is no valid one."""
    return _valid_name(_field(options, "model"))


def _valid_name(name: object) -> str | None:
    return name if isinstance(name, str) and len(name) <= MAX_MODEL_ID_LENGTH else None


def _field(options: RequestOptions, name: str) -> object:
    extra = options.extra_json
    if extra is not None and name in extra:
        return extra[name]
    body = options.json_data
    # The SDK's body is a dict; checking for Mapping is ten times slower.
    return body.get(name) if type(body) is dict or isinstance(body, Mapping) else None
