"""The demo's story, step by step. What is printed as a result is what the call returned or raised."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import openai

from finetune_guard.cli.demo_calls import (
    ANSWER,
    BASE_MODEL,
    PARCELS,
    QUESTION,
    ask,
    created,
    heard,
    reached,
    refusal,
    training_example,
    upload,
    verdict,
)
from finetune_guard.cli.demo_stage import Stage, example
from finetune_guard.cli.narrator import Narrator
from finetune_guard.client.classes import OpenAI
from finetune_guard.rules.enforcement import moment
from finetune_guard.rules.keep_alive import KeepAlive

CREATE_JOB = f'client.fine_tuning.jobs.create(model="{BASE_MODEL}", ...)'
UPLOAD = 'client.files.create(file=..., purpose="fine-tune")'
CHECK = "client.guard.check()"

_KINDS = {
    "evidence": "the organization's summary, which decisions rest on",
    "model": "a model's latest inference",
    "day": "a day's counts",
    "alias": "another name of the organization: a key's salted hash, its id, a project",
    "salt": "the random bytes that keys are hashed with",
    "schema": "the form that all rows have",
}


def tell(stage: Stage, narrator: Narrator) -> None:
    """Tell the whole story."""
    narrator.opening(
        "finetune-guard, from the first fine-tune to the last day",
        "Nothing here needs a key or the network. A simulator answers on this machine as the API does under "
        "the policy, and its clock can be turned. Each result below is that of a real call.",
    )
    client = stage.client()
    _beginning(stage, narrator, client)
    _first_inference(stage, narrator, client)
    model = _fine_tuning(stage, narrator, client)
    _unmodified_program(stage, narrator, client, model)
    file_id = _past_day_60(stage, narrator, client)
    _kept_open(stage, narrator, file_id)
    _whole_organization(stage, narrator, model)
    _last_days(stage, narrator, client, model, file_id)
    _on_disk(stage, narrator, client)


def _beginning(stage: Stage, narrator: Narrator, client: OpenAI) -> None:
    narrator.step(
        "An organization of which nothing is known",
        "It has fine-tuned before and owns one model. The client is ours; the history is an empty folder.",
    )
    narrator.did(
        "Simulator(clock=clock).start()",
        f"answers at {stage.simulator.base_url}",
        f"the time there: {stage.time}",
        f"the model: {stage.model}",
    )
    narrator.did(CHECK, verdict(client.guard.check()), f"calls that reached the server: {len(stage.calls)}")


def _first_inference(stage: Stage, narrator: Narrator, client: OpenAI) -> None:
    narrator.step(
        "One ordinary call, and the window is known",
        "A call of a fine-tuned model is noted as it is answered. Nothing is added to it.",
    )
    answer = ask(client, stage.model, PARCELS[0])
    narrator.did("client.chat.completions.create(model=pilot, ...)", answer)
    narrator.did(CHECK, verdict(client.guard.check()))


def _fine_tuning(stage: Stage, narrator: Narrator, client: OpenAI) -> str:
    narrator.step("Upload, fine-tune, wait", "The guard has decided before each call; nothing is in the way.")
    lines = [json.dumps(training_example(number)) for number in PARCELS]
    stage.training_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = client.files.create(file=stage.training_file, purpose="fine-tune")
    narrator.did(UPLOAD, f"{file.id}: {len(lines)} examples, {file.bytes} bytes")
    job = client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file.id, suffix="parcels")
    narrator.did(CREATE_JOB, f"{job.id}: {job.status}")
    narrator.did("clock.advance(timedelta(minutes=40))", stage.advance(timedelta(minutes=40)))
    job = client.fine_tuning.jobs.retrieve(job.id)
    narrator.did("client.fine_tuning.jobs.retrieve(job.id)", f"{job.status}: {job.fine_tuned_model}")
    return str(job.fine_tuned_model)


def _unmodified_program(stage: Stage, narrator: Narrator, client: OpenAI, model: str) -> None:
    narrator.step(
        "The new model, in another program",
        "A program in a process of its own, which differs from one for plain openai by its import line:",
    )
    program = example()
    imports = next(
        line for line in program.read_text(encoding="utf-8").splitlines() if "finetune_guard" in line
    )
    narrator.did(f"grep finetune_guard {program.name}", imports)
    narrator.did(f"python {program.name} {model}", stage.run_example(model))
    last = client.guard.check().last_inference
    seen = f"{last.model} at {moment(last.at)}" if last is not None else "none"
    narrator.did(f"{CHECK}.last_inference, in this process", seen)


def _past_day_60(stage: Stage, narrator: Narrator, client: OpenAI) -> str:
    narrator.step(
        "63 days without an inference",
        "The API would take the file and refuse the job. The guard says so before anything is sent.",
    )
    narrator.did("clock.advance(timedelta(days=63))", stage.advance(timedelta(days=63)))
    narrator.did(CHECK, verdict(client.guard.check()))
    before = len(stage.calls)
    narrator.stopped(UPLOAD, refusal(lambda: upload(stage, client)))
    narrator.did("simulator.calls", *reached(stage.calls[before:]))

    narrator.step(
        "Keep-alive, and the job goes through", "One token in, one token out, and only when asked for."
    )
    outcome = client.guard.keep_alive()
    narrator.did(
        "client.guard.keep_alive()", f"sent={outcome.sent} at {moment(outcome.at)}", f"to {outcome.model}"
    )
    narrator.did(CHECK, verdict(client.guard.check()))
    file_id = upload(stage, client)
    narrator.did(UPLOAD, file_id)
    narrator.did(CREATE_JOB, created(client, file_id))
    narrator.remark(
        "The simulator lets a new inference open a lapsed window again. Whether OpenAI's API does is not "
        "published. So it is better never to let it lapse:"
    )
    return file_id


def _kept_open(stage: Stage, narrator: Narrator, file_id: str) -> None:
    narrator.step(
        "The same, without thinking of it",
        "With a keep-alive policy a job that is created near the window's end renews it first.",
    )
    client = stage.client(KeepAlive(renew_within=timedelta(days=14)))
    narrator.did('OpenAI(guard=GuardConfig(keep_alive=KeepAlive(renew_within="14d")))')
    narrator.did("clock.advance(timedelta(days=50))", stage.advance(timedelta(days=50)))
    narrator.did(CHECK, verdict(client.guard.check()))
    before = len(stage.calls)
    job, warned = heard(lambda: created(client, file_id))
    narrator.did(CREATE_JOB, job, *warned)
    narrator.did("simulator.calls", *reached(stage.calls[before:]))
    narrator.did(CHECK, verdict(client.guard.check()))


def _whole_organization(stage: Stage, narrator: Narrator, model: str) -> None:
    narrator.step(
        "A program without the guard",
        "The guard sees what its own clients do. With an admin key it reads what the whole organization did.",
    )
    narrator.did("clock.advance(timedelta(days=30))", stage.advance(timedelta(days=30)))
    with openai.OpenAI(base_url=stage.simulator.base_url, api_key=stage.api_key) as bare:
        narrator.did(
            "openai.OpenAI().chat.completions.create(model=parcels, ...)", ask(bare, model, PARCELS[2])
        )
    narrator.did("clock.advance(timedelta(days=2))", stage.advance(timedelta(days=2)))
    client = stage.client(admin=True)
    done = client.guard.sync()
    last = done.last_inference
    narrator.did(
        "client.guard.sync()",
        f"read up to {moment(done.covered_until)}; models that were called: {done.models}",
        f"the latest inference: {moment(last.at) if last else 'none'}, as the API's usage has it",
    )
    narrator.did(CHECK, verdict(client.guard.check()))
    ends = [
        f"{each.id} ends on {each.shutdown.day}" for each in client.guard.models().models if each.shutdown
    ]
    narrator.did("client.guard.models()", *ends)


def _last_days(stage: Stage, narrator: Narrator, client: OpenAI, model: str, file_id: str) -> None:
    narrator.step(
        "January 6 begins somewhere on Earth",
        "The published date has no hour and no time zone. While it is being crossed the API decides.",
    )
    now = stage.turn(datetime(2027, 1, 5, 18, 0, tzinfo=timezone.utc))
    narrator.did("clock.set(datetime(2027, 1, 5, 18, 0, tzinfo=timezone.utc))", now)
    job, warned = heard(lambda: created(client, file_id))
    narrator.did(CREATE_JOB, job, *warned)

    narrator.step(
        "After January 6", "No job for anyone. Models go on answering until their base is shut down."
    )
    now = stage.turn(datetime(2027, 1, 7, 13, 0, tzinfo=timezone.utc))
    narrator.did("clock.set(datetime(2027, 1, 7, 13, 0, tzinfo=timezone.utc))", now)
    before = len(stage.calls)
    narrator.stopped(CREATE_JOB, refusal(lambda: created(client, file_id)))
    narrator.did("simulator.calls", *reached(stage.calls[before:]))
    answer, warned = heard(lambda: ask(client, model, PARCELS[1]))
    narrator.did("client.chat.completions.create(model=parcels, ...)", answer, *warned)


def _on_disk(stage: Stage, narrator: Narrator, client: OpenAI) -> None:
    narrator.step("What is on disk", "Plain rows for the owner alone: no key, no prompt, no answer.")
    client.guard.flush()
    narrator.did("ls", *(f"{mode}  {size:>7} bytes  {name}" for name, mode, size in stage.files()))
    rows = stage.rows()
    narrator.did(
        "the rows of cache.db", *(f"{rows[kind]:>3}  {_KINDS.get(kind, kind)}" for kind in sorted(rows))
    )
    history = client.guard.history()
    counted = sum(map(history.inferences_on, history.daily))
    narrator.did(
        "client.guard.history()",
        f"{history.organization}: {len(history.models)} models, {counted} inferences on "
        f"{len(history.daily)} days",
    )
    searched = {
        "the API key": stage.api_key,
        "the admin key": stage.admin_key,
        "the prompts": QUESTION.partition("{")[0],
        "the training data": ANSWER.partition("}")[2].strip(),
        "the answers": "simulated answer",
        "the organization's name, to show that the search works": history.organization,
    }
    found = {what: stage.occurrences(text) for what, text in searched.items()}
    narrator.did(
        "search in all of these files", *(f"{count:>3} times  {what}" for what, count in found.items())
    )
