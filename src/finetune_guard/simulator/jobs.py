"""``/fine_tuning/jobs``: the endpoints of fine-tuning jobs, which enforce the policy."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import (
    TRAINING_NOT_AVAILABLE,
    Answer,
    ApiError,
    invalid,
    missing,
    page,
    unix_time,
)
from finetune_guard.simulator.inference import base_of, integer, option
from finetune_guard.simulator.organizations import Account, Job, random_id
from finetune_guard.simulator.provider import Call

_METHODS = ("supervised", "dpo", "reinforcement")
_MAX_SUFFIX_LENGTH = 64
_STEP = 10
_AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}


def create(call: Call) -> Answer:
    """Create a job, if the policy allows this organization to.

    OpenAI doesn't document the order of its checks. Here it is: required parameters, policy, model, files.
    """
    model, training_file = call.body.get("model"), call.body.get("training_file")
    for name, value in (("model", model), ("training_file", training_file)):
        if not isinstance(value, str) or not value:
            raise missing(name)
    if not call.provider.may_create_jobs(call.account, call.now):
        raise ApiError(403, TRAINING_NOT_AVAILABLE, code="training_not_available")
    model = _model_to_tune(call, str(model))
    job = Job(
        id=random_id("ftjob-"),
        base=model,
        training_file=_file_id(call, "training_file"),
        validation_file=_file_id(call, "validation_file") if call.body.get("validation_file") else None,
        suffix=_suffix(call),
        seed=integer(call, "seed", minimum=0) or secrets.randbelow(2**31),
        method=_method(call),
        metadata=dict(option(call, "metadata")) or None,
        created_at=call.now,
        tokens=canned.tokens_in(call.account.files[str(training_file)].content.decode(errors="replace")),
    )
    call.account.jobs[job.id] = job
    call.account.fine_tuned_before = True
    return Answer(_body(call, job))


def model_limits(call: Call) -> Answer:
    """Return the models that may be fine-tuned, in a made-up format: OpenAI doesn't document its own."""
    may_create = call.provider.may_create_jobs(call.account, call.now)
    tunable = [base for base in call.provider.base_models() if call.provider.is_tunable(base)]
    alive = [base for base in tunable if may_create and not call.provider.is_shut_down(base, call.now)]
    return Answer({"object": "list", "data": [{"model": base, "max_active_jobs": 3} for base in alive]})


def list_all(call: Call) -> Answer:
    """List the organization's jobs, newest first, whatever the policy says."""
    jobs = [_body(call, job) for job in reversed(call.account.jobs.values())]
    return page(jobs, call.query, default=20, maximum=100)


def retrieve(call: Call) -> Answer:
    """Return one job."""
    return Answer(_body(call, _find(call)))


def cancel(call: Call) -> Answer:
    """Cancel a job that has not ended."""
    job = _find(call)
    if job.cancelled_at is not None or job.finished_at is not None:
        raise ApiError(400, f"Job has already {_status(call, job)}.", code="invalid_job_state")
    job.cancelled_at = call.now
    return Answer(_body(call, job))


def events(call: Call) -> Answer:
    """List the events of a job so far, newest first."""
    job = _find(call)
    end = job.cancelled_at or job.finished_at
    stages = [
        (job.created_at, f"Created fine-tuning job: {job.id}"),
        (job.created_at, f"Validating training file: {job.training_file}"),
        (_starts_at(call, job), "Fine-tuning job started"),
    ]
    entries = [(at, text) for at, text in stages if at <= call.now and (end is None or at <= end)]
    if job.cancelled_at is not None:
        entries.append((job.cancelled_at, "The job was cancelled"))
    if job.finished_at is not None:
        entries.append((job.finished_at, f"New fine-tuned model created: {job.fine_tuned_model}"))
        entries.append((job.finished_at, "The job has successfully completed"))
    listed = [
        {
            "object": "fine_tuning.job.event",
            "id": f"ftevent-{job.id.removeprefix('ftjob-')}-{number}",
            "created_at": unix_time(at),
            "level": "info",
            "message": text,
            "data": None,
            "type": "message",
        }
        for number, (at, text) in enumerate(entries)
    ]
    return page(listed[::-1], call.query, default=20, maximum=100)


def checkpoints(call: Call) -> Answer:
    """List the checkpoint models of a job."""
    job = _find(call)
    listed = (
        []
        if job.checkpoint is None
        else [
            {
                "object": "fine_tuning.job.checkpoint",
                "id": f"ftckpt_{job.id.removeprefix('ftjob-')}",
                "created_at": unix_time(job.finished_at),
                "fine_tuned_model_checkpoint": job.checkpoint,
                "fine_tuning_job_id": job.id,
                "metrics": {"step": _STEP, "train_loss": 0.1, "train_mean_token_accuracy": 0.9},
                "step_number": _STEP,
            }
        ]
    )
    return page(listed, call.query, default=10, maximum=100)


def finish(account: Account, job: Job, at: datetime) -> None:
    """Finish a job: create its model, its checkpoint and its result file."""
    job.fine_tuned_model = account.add_model(base_of(job.base), job.suffix or "", at)
    job.checkpoint = account.register_model(f"{job.fine_tuned_model}:ckpt-step-{_STEP}", at)
    results = b"step,train_loss,train_accuracy\n10,0.1,0.9\n"
    job.result_file = account.add_file("step_metrics.csv", "fine-tune-results", results, at).id
    job.finished_at = at


def _model_to_tune(call: Call, model: str) -> str:
    base = base_of(model)
    if not call.provider.is_tunable(base) or (base != model and model not in call.account.models):
        message = f"Model {model} is not available for fine-tuning or does not exist."
        raise ApiError(400, message, code="model_not_available")
    return call.provider.find_model(call.account, model, call.now)


def _file_id(call: Call, name: str) -> str:
    file_id = str(call.body[name])
    stored = call.account.files.get(file_id)
    if stored is not None and stored.purpose == "fine-tune":
        return file_id
    why = file_id if stored is None else f"the purpose of {file_id} is not fine-tune"
    raise ApiError(400, f"invalid {name}: {why}", code="invalid_file", param=name)


def _suffix(call: Call) -> str | None:
    suffix = call.body.get("suffix")
    if suffix is None:
        return None
    if not isinstance(suffix, str) or not 0 < len(suffix) <= _MAX_SUFFIX_LENGTH or ":" in suffix:
        raise invalid("suffix", f"expected 1 to {_MAX_SUFFIX_LENGTH} characters without a colon")
    return suffix.strip().lower().replace(" ", "-")


def _method(call: Call) -> dict[str, Any]:
    method = option(call, "method") or {"type": "supervised"}
    kind = method.get("type")
    if kind not in _METHODS:
        raise invalid("method.type", f"expected one of {', '.join(_METHODS)}")
    settings = method.get(kind) or {}
    if not isinstance(settings, dict):
        raise invalid(f"method.{kind}", "expected an object")
    if kind == "reinforcement" and "grader" not in settings:
        raise missing("method.reinforcement.grader")
    hyperparameters = settings.get("hyperparameters") or option(call, "hyperparameters")
    if not isinstance(hyperparameters, dict):
        raise invalid(f"method.{kind}.hyperparameters", "expected an object")
    return {"type": kind, kind: {**settings, "hyperparameters": {**_AUTO, **hyperparameters}}}


def _find(call: Call) -> Job:
    job = call.account.jobs.get(call.params["job"])
    if job is None:
        message = f"Could not find fine tune: {call.params['job']}"
        raise ApiError(404, message, code="fine_tune_not_found", param="fine_tune_id")
    return job


def _starts_at(call: Call, job: Job) -> datetime:
    return job.created_at + call.provider.settings.job_duration / 10


def _status(call: Call, job: Job) -> str:
    if job.cancelled_at is not None:
        return "cancelled"
    if job.finished_at is not None:
        return "succeeded"
    return "validating_files" if call.now < _starts_at(call, job) else "running"


def _body(call: Call, job: Job) -> dict[str, Any]:
    status = _status(call, job)
    due = job.created_at + call.provider.settings.job_duration
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": job.base,
        "created_at": unix_time(job.created_at),
        "finished_at": unix_time(job.finished_at or job.cancelled_at),
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": call.account.organization.id,
        "result_files": [job.result_file] if job.result_file is not None else [],
        "status": status,
        "validation_file": job.validation_file,
        "training_file": job.training_file,
        "hyperparameters": job.method[job.method["type"]]["hyperparameters"],
        "trained_tokens": job.tokens if status == "succeeded" else None,
        "error": None,
        "user_provided_suffix": job.suffix,
        "seed": job.seed,
        "estimated_finish": unix_time(due) if status == "running" else None,
        "integrations": [],
        "metadata": job.metadata,
        "method": job.method,
    }
