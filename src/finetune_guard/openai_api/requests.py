"""What a request is, told from its method, path and body before anything is sent.

A body is never read: only what the SDK holds as JSON or form fields.
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
    """The part of the SDK's request options that is looked at."""

    method: str
    url: str
    json_data: object
    extra_json: Mapping[str, object] | None


class JobCreation(NamedTuple):
    """A fine-tuning job is about to be created, for a model that the body may name."""

    model: str | None


@dataclass(frozen=True)
class TrainingUpload:
    """A file is about to be uploaded for fine-tuning."""


class InferenceCall(NamedTuple):
    """A model is called: a fine-tuned one where the request names that, else only the answer may show it."""

    model: str | None


class RecordKind(StrEnum):
    """What the API is asked to show."""

    BATCHES = "batches"
    JOBS = "fine_tuning/jobs"
    MODELS = "models"
    RESPONSES = "responses"


class RecordsCall(NamedTuple):
    """The API is asked for one or several of its records, which tell what happened elsewhere."""

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
    """Return what the request is; None when the guard has nothing to do with it.

    Which host it goes to is asked elsewhere. A model given with ``extra_body`` wins, as it does on the wire.
    """
    return call_of(kind_of(options.method, options.url), options)


def call_of(kind: CallKind, options: RequestOptions) -> Call | None:
    """Return what ``classify`` does for a request whose kind is known."""
    if kind is InferenceCall:  # first, since every call of a model comes by here
        model = _model_in(options)
        return _inference(model) if model is not None else _OF_NO_FINE_TUNE
    return kind if kind is None or isinstance(kind, RecordsCall) else _guarded(kind, options)


def base_model_called(options: RequestOptions) -> str | None:
    """Return the model that a request of any endpoint calls; None for a fine-tune, and for a job."""
    if options.method.lower() != "post" or to_decide(options) is not None:
        return None
    model = _model_in(options)
    return model if model and fine_tuned_id(model) is None else None


def to_decide(options: RequestOptions) -> GuardedCall | None:
    """Return what ``classify`` does for a request that is decided about, and None for any other."""
    kind = kind_of(options.method, options.url)
    return _guarded(kind, options) if kind is JobCreation or kind is TrainingUpload else None


def _guarded(kind: object, options: RequestOptions) -> GuardedCall | None:
    if kind is JobCreation:
        return JobCreation(_model_in(options))
    return TrainingUpload() if _field(options, "purpose") == "fine-tune" else None


_OF_NO_FINE_TUNE = InferenceCall(None)


@lru_cache(maxsize=1024)
def _inference(model: str) -> InferenceCall:
    return InferenceCall(fine_tuned_id(model))


def kind_of(method: str, url: str) -> CallKind:
    """Return the class of a call, or the call itself where no body tells more of it."""
    return _kind(method, url[:_LONGEST_URL])


@lru_cache(maxsize=1024)
def _kind(method: str, url: str) -> CallKind:
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
    """The path below the API's root: ``/chat/completions`` for every way to write it."""
    path = url.split("?", 1)[0].split("#", 1)[0]
    if "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
        path = path.removeprefix(root_path(path))
    return "/" + path.strip("/")


def called_name(options: RequestOptions, path: str) -> str | None:
    """Return what an inference calls; in the older form of its API, Azure's path names the deployment."""
    in_path = _deployment(path)
    return _short(in_path) if in_path is not None else _model_in(options)


@lru_cache(maxsize=1024)
def _deployment(path: str) -> str | None:
    found = _DEPLOYMENT.search(path)
    return found[1] if found is not None else None


def operation_of(method: str, path: str) -> Operation | None:
    """Return which inference a request to ``path`` is; None where it is none."""
    return _operation(path) if method.lower() == "post" else None


@lru_cache(maxsize=1024)
def _operation(path: str) -> Operation | None:
    found = _OPERATION.search(path)
    return cast("Operation", found[1].replace("/", ".")) if found is not None else None


def _model_in(options: RequestOptions) -> str | None:
    """Return the model that a body names; None where it names none that can be one."""
    return _short(_field(options, "model"))


def _short(name: object) -> str | None:
    return name if isinstance(name, str) and len(name) <= MAX_MODEL_ID_LENGTH else None


def _field(options: RequestOptions, name: str) -> object:
    extra = options.extra_json
    if extra is not None and name in extra:
        return extra[name]
    body = options.json_data
    # What the SDK makes is a dict, and to ask whether something is a Mapping costs ten times as much.
    return body.get(name) if type(body) is dict or isinstance(body, Mapping) else None
