"""Show an organization's fine-tuning from the first job to the last day and on Azure, with a simulator.

python demo.py [FOLDER]        keeps the history and the training file in FOLDER

It needs the extra "simulator", but neither a key nor the network. Each result that it prints is that of a
real call. `finetune-guard demo` runs this file.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import openai

from finetune_guard import (
    AzureOpenAI,
    Eligibility,
    FineTuneGuardError,
    FineTuneGuardWarning,
    GuardConfig,
    KeepAlive,
    OpenAI,
)
from finetune_guard.testing import SimulatedClock, Simulator, simulator_environment

BASE_MODEL = "gpt-4o-mini-2024-07-18"
QUESTION = "Where is my parcel {}?"
ANSWER = "Parcel {} is on its way. I am glad to help."
ADMIN_KEY = "sk-admin-of-the-demo"
AZURE_KEY = "azure-key-of-the-demo"
CREATE_JOB = f'client.fine_tuning.jobs.create(model="{BASE_MODEL}", ...)'
UPLOAD = 'client.files.create(file=..., purpose="fine-tune")'
CHECK = "client.guard.check()"
WIDTH = shutil.get_terminal_size((10_000, 24)).columns  # lines are not wrapped in a pipe


class Demo:
    """The simulator, its clock, and the programs that use it."""

    def __init__(self, folder: Path, simulator: Simulator, clock: SimulatedClock) -> None:
        """Start with an organization that owns one fine-tuned model, and an empty history."""
        self.history, self.training_file = folder / "history", folder / "examples.jsonl"
        self.simulator, self.clock = simulator, clock
        self.pilot = simulator.add_model(suffix="pilot")
        self.key = simulator.organization().api_key
        self.clients: list[OpenAI] = []
        self.client = self.new_client()
        self.steps = 0

    def new_client(self, **settings: object) -> OpenAI:
        """Return a client that shares the history and uses the simulator's clock."""
        guard = self.config(hosts=[self.simulator.host], **settings)
        self.clients.append(
            OpenAI(base_url=self.simulator.base_url, api_key=self.key, guard=guard, max_retries=0)
        )
        return self.clients[-1]

    def config(self, **settings: object) -> GuardConfig:
        """Return settings with the history's folder and the simulator's clock."""
        return GuardConfig(store=self.history, clock=self.clock, **settings)  # type: ignore[arg-type]

    def step(self, title: str, text: str) -> None:
        """Start a step of the demo."""
        self.steps += 1
        print(f"\n{self.steps:>2}  {title}")
        show(text, 4)

    def advance(self, **by: int) -> None:
        """Advance the clock."""
        given = ", ".join(f"{unit}={number}" for unit, number in by.items())
        did(f"clock.advance(timedelta({given}))", minute(self.clock.advance(timedelta(**by))))

    def upload(self, client: OpenAI) -> str:
        """Upload the training file and return its id."""
        return client.files.create(file=self.training_file, purpose="fine-tune").id

    def check(self, client: OpenAI) -> None:
        """Show whether jobs can be created."""
        did(CHECK, described(client.guard.check()))

    def create_job(self, client: OpenAI, file_id: str) -> None:
        """Create a job, and show the guard's warnings as well as the result."""
        job, told = with_warnings(
            lambda: client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file_id)
        )
        did(CREATE_JOB, f"{job.id}: {job.status}", *told)

    def fails(self, what: str, call: Callable[[], object]) -> None:
        """Show the guard's error for a call, and what the server received."""
        before = len(self.simulator.calls)
        try:
            call()
        except FineTuneGuardError as error:
            did(what, f"{type(error).__name__}:", *str(error).splitlines())
        else:
            raise RuntimeError(f"{what} should have failed")
        self.reached(before)

    def reached(self, since: int) -> None:
        """Show which calls reached the server."""
        calls = [f"{call.method} {call.path} -> {call.status}" for call in self.simulator.calls[since:]]
        did("simulator.calls", *(calls or ["nothing reached the server"]))


def main(folder: Path) -> None:
    """Run the whole demo."""
    print("finetune-guard, from the first fine-tune to the last day and Azure")
    show(
        "Nothing here needs a key or the network. A simulator answers on this machine as the API does under "
        "the policy, and its clock can be turned. Each result below is that of a real call.",
        0,
    )
    clock = SimulatedClock(datetime(2026, 8, 3, 9, 0, tzinfo=timezone.utc))
    with Simulator(clock=clock, admin_key=ADMIN_KEY) as simulator:
        demo = Demo(folder, simulator, clock)
        try:
            model = beginning(demo)
            another_program(demo, model)
            file_id = past_day_60(demo)
            kept_open(demo, file_id)
            whole_organization(demo, model)
            last_days(demo, model, file_id)
            on_azure(demo)
            on_disk(demo)
        finally:
            for client in demo.clients:
                client.close()


def beginning(demo: Demo) -> str:
    """Run an inference, fine-tune a model, and return it."""
    client = demo.client
    demo.step(
        "An organization of which nothing is known", "It owns one model. The history is an empty folder."
    )
    did(
        "Simulator(clock=clock).start()",
        f"answers at {demo.simulator.base_url}",
        f"the time there: {minute(demo.clock())}",
        f"the model: {demo.pilot}",
    )
    demo.check(client)
    did("len(simulator.calls)", str(len(demo.simulator.calls)))

    demo.step(
        "One ordinary call, and the window is known", "The guard remembers the inference. It adds nothing."
    )
    did("client.chat.completions.create(model=pilot, ...)", ask(client, demo.pilot, 4701))
    demo.check(client)

    demo.step("Upload, fine-tune, wait", "The guard has decided before each call, and lets it through.")
    lines = [json.dumps(training_example(number)) for number in range(4701, 4713)]
    demo.training_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = client.files.create(file=demo.training_file, purpose="fine-tune")
    did(UPLOAD, f"{file.id}: {len(lines)} examples, {file.bytes} bytes")
    job = client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file.id, suffix="parcels")
    did(CREATE_JOB, f"{job.id}: {job.status}")
    demo.advance(minutes=40)
    job = client.fine_tuning.jobs.retrieve(job.id)
    did("client.fine_tuning.jobs.retrieve(job.id)", f"{job.status}: {job.fine_tuned_model}")
    return str(job.fine_tuned_model)


def another_program(demo: Demo, model: str) -> None:
    """Run the example program with the model in another process."""
    demo.step("The new model, in another program", "It differs from one for plain openai by its import line:")
    program = Path(__file__).with_name("drop_in.py")
    source = program.read_text(encoding="utf-8").splitlines()
    did(f"grep finetune_guard {program.name}", next(line for line in source if "finetune_guard" in line))
    ran = subprocess.run(  # noqa: S603 -- the example beside this one
        [sys.executable, program, model],
        env={**os.environ, **simulator_environment(demo.simulator, demo.history)},
        capture_output=True,
        text=True,
        check=True,
    )
    did(f"python {program.name} {model}", ran.stdout.strip())
    last = demo.client.guard.check().last_inference
    did(f"{CHECK}.last_inference, in this process", f"{last.model} at {minute(last.at)}" if last else "none")


def past_day_60(demo: Demo) -> str:
    """Let the window expire, reopen it, and return the id of the file uploaded then."""
    client = demo.client
    demo.step(
        "63 days without an inference",
        "The API would take the file and refuse the job. The guard asks what time it is, and stops both.",
    )
    demo.advance(days=63)
    demo.check(client)
    demo.fails(UPLOAD, lambda: demo.upload(client))

    demo.step("Keep-alive, and the job goes through", "One token in, one token out, and only when asked for.")
    outcome = client.guard.keep_alive()
    did("client.guard.keep_alive()", f"sent={outcome.sent} at {minute(outcome.at)}", f"to {outcome.model}")
    demo.check(client)
    file_id = demo.upload(client)
    did(UPLOAD, file_id)
    demo.create_job(client, file_id)
    print()
    show(
        "The simulator lets a new inference open a lapsed window again. Whether OpenAI's API does is not "
        "published. So it is better never to let it lapse:",
        4,
    )
    return file_id


def kept_open(demo: Demo, file_id: str) -> None:
    """Create a job near the window's end with a client that renews it."""
    demo.step(
        "The same, without thinking of it", "A job that is created near the window's end renews it first."
    )
    client = demo.new_client(keep_alive=KeepAlive(renew_within=timedelta(days=14)))
    did('OpenAI(guard=GuardConfig(keep_alive=KeepAlive(renew_within="14d")))')
    demo.advance(days=50)
    demo.check(client)
    before = len(demo.simulator.calls)
    demo.create_job(client, file_id)
    demo.reached(before)
    demo.check(client)


def whole_organization(demo: Demo, model: str) -> None:
    """Find inferences by a program without the guard."""
    demo.step(
        "A program without the guard", "With an admin key the guard reads what the whole organization did."
    )
    demo.advance(days=30)
    with openai.OpenAI(base_url=demo.simulator.base_url, api_key=demo.key) as bare:
        did("openai.OpenAI().chat.completions.create(model=parcels, ...)", ask(bare, model, 4703))
    demo.advance(days=2)
    client = demo.new_client(admin_api_key=ADMIN_KEY)
    done = client.guard.sync()
    did(
        "client.guard.sync()",
        f"read up to {minute(done.covered_until)}; models that were called: {done.models}",
        f"the latest inference: {minute(done.last_inference.at) if done.last_inference else 'none'}",
    )
    demo.check(client)
    known = client.guard.models().models
    did(
        "client.guard.models()",
        *(f"{each.id} ends on {each.shutdown.day}" for each in known if each.shutdown),
    )


def last_days(demo: Demo, model: str, file_id: str) -> None:
    """Pass the date on which job creation ends."""
    client = demo.client
    demo.step(
        "January 6 begins somewhere on Earth", "Its hour and time zone are not published. The API decides."
    )
    demo.clock.set(datetime(2027, 1, 5, 18, 0, tzinfo=timezone.utc))
    did("clock.set(datetime(2027, 1, 5, 18, 0, tzinfo=timezone.utc))", minute(demo.clock()))
    demo.create_job(client, file_id)

    demo.step("After January 6", "No job for anyone. Models go on answering until their base is shut down.")
    demo.clock.set(datetime(2027, 1, 7, 13, 0, tzinfo=timezone.utc))
    did("clock.set(datetime(2027, 1, 7, 13, 0, tzinfo=timezone.utc))", minute(demo.clock()))
    demo.fails(CREATE_JOB, lambda: client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file_id))
    answer, told = with_warnings(lambda: ask(client, model, 4702))
    did("client.chat.completions.create(model=parcels, ...)", answer, *told)


def on_azure(demo: Demo) -> None:
    """Call a deployment shortly before its deletion, after it, and after deploying it again."""
    demo.step(
        "A deployment on Azure",
        "Fine-tunes live on there, but a deployment that nobody calls for 15 days is deleted.",
    )
    azure, tuned = demo.simulator.azure, "gpt-4.1-mini-2025-04-14.ft-0a1b2c3d"
    azure.add_resource("acme", api_key=AZURE_KEY)
    azure.deploy("acme", "support", model=tuned)
    client = AzureOpenAI(
        azure_endpoint=azure.endpoint("acme"),
        api_key=AZURE_KEY,
        api_version="2026-06-01",
        guard=demo.config(),
        max_retries=0,
    )
    demo.clients.append(client)
    call = 'AzureOpenAI(...).chat.completions.create(model="support", ...)'
    did(call, ask(client, "support", 4705))
    (known,) = client.guard.deployments()
    did(
        "client.guard.deployments()",
        f"{known.name}: {known.state}, last called at {minute(known.last_call)}",
        "deleted between " + " and ".join(map(minute, known.ends or ())),
    )
    demo.advance(days=13)
    answer, told = with_warnings(lambda: ask(client, "support", 4706))
    did(call, answer, *told)
    demo.advance(days=16)
    demo.fails(call, lambda: ask(client, "support", 4707))
    azure.deploy("acme", "support", model=tuned)
    did("simulator.azure.deploy(...), and the same call", ask(client, "support", 4708))


def on_disk(demo: Demo) -> None:
    """Show the history's files, and check that they contain no secrets."""
    demo.step("What is on disk", "Plain rows for the owner alone: no key, no prompt, no answer.")
    demo.client.guard.flush()
    files = sorted(demo.history.iterdir())
    modes = [(path, path.stat()) for path in (demo.history, *files)]
    did(
        "ls",
        *(f"{stat.filemode(found.st_mode)}  {found.st_size:>7} bytes  {path.name}" for path, found in modes),
    )
    history = demo.client.guard.history()
    counted = sum(map(history.inferences_on, history.daily))
    days = len(history.daily)
    did(
        "client.guard.history()",
        f"{history.organization}: {len(history.models)} models, {counted} inferences on {days} days",
    )
    searched = {
        "the API key": demo.key,
        "the admin key": ADMIN_KEY,
        "Azure's key": AZURE_KEY,
        "the prompts": QUESTION.partition("{")[0],
        "the training data": ANSWER.partition("}")[2].strip(),
        "the answers": "simulated answer",
        "the organization's name, to show that the search works": history.organization,
    }
    content = b"".join(path.read_bytes() for path in files)
    found = (f"{content.count(text.encode()):>3} times  {what}" for what, text in searched.items())
    did("search in all of these files", *found)


def ask(client: openai.OpenAI, model: str, number: int) -> str:
    """Ask a model where a parcel is, and return its answer."""
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION.format(number)}]
    )
    return str(reply.choices[0].message.content)


def training_example(number: int) -> dict[str, object]:
    """Return a line of the training file."""
    talk = (("user", QUESTION), ("assistant", ANSWER))
    return {"messages": [{"role": role, "content": text.format(number)} for role, text in talk]}


def with_warnings(call: Callable[[], openai.BaseModel | str]) -> tuple:  # type: ignore[type-arg]
    """Make a call; return its result and the guard's warnings as a program would show them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FineTuneGuardWarning)
        result = call()
    return result, [f"{type(each.message).__name__}: {each.message}" for each in caught]


def described(eligibility: Eligibility) -> str:
    """Return a verdict in one line."""
    told = f"{eligibility.verdict.value}: {eligibility.reason.value}"
    if eligibility.window_closes_at is not None:
        return f"{told}, the window is open until {minute(eligibility.window_closes_at)}"
    if eligibility.window_closed_at is not None:
        return f"{told}, the window closed on {minute(eligibility.window_closed_at)}"
    return told


def minute(at: datetime | None) -> str:
    """Return a time to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "never"


def did(call: str, *results: str) -> None:
    """Show a call and its outcome."""
    print(f"\n    > {call}")
    for result in results:
        show(result, 6)


def show(text: str, indent: int) -> None:
    """Print a text, wrapped to the terminal's width."""
    margin = " " * indent
    print(textwrap.fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
