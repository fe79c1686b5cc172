"""Each example runs unmodified and does what it says."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard.testing import Fault
from tests.examples.conftest import EXAMPLES

PAST_THE_WINDOW = timedelta(days=61)


def paths(simulator):
    return [f"{call.method} {call.path}" for call in simulator.calls]


@pytest.mark.parametrize(
    "name", ["async_client.py", "drop_in.py", "existing_client.py", "handling_errors.py"]
)
def test_without_an_argument_they_say_what_to_type(run_example, name):
    assert f"python {name} " in run_example(name, returncode=1).stderr


def test_drop_in_fine_tunes_and_asks(run_example, simulator, model, tmp_path):
    training_data = tmp_path / "examples.jsonl"
    training_data.write_text('{"messages": [{"role": "user", "content": "a"}]}\n' * 10)
    answer = run_example("drop_in.py", model).stdout
    job = run_example("drop_in.py", str(training_data)).stdout
    simulator.clock.advance(PAST_THE_WINDOW)
    stopped = run_example("drop_in.py", str(training_data), returncode=1).stderr
    assert answer
    assert job.startswith("ftjob-")
    assert "InferenceWindowExpiredError: The training file was not uploaded" in stopped


def test_async_client_records_streamed_answers(run_example, simulator, model):
    finished = run_example("async_client.py", model)
    *answers, verdict = finished.stdout.splitlines()
    assert (3, "eligible: recent_inference until 2026-09-30 12:00:00+00:00") == (len(answers), verdict)
    assert [True] * 3 == [call.stream for call in simulator.calls]


def test_keep_alive_is_sent_before_a_job_when_the_window_has_closed(
    run_example, simulator, asked, training_file
):
    simulator.clock.advance(PAST_THE_WINDOW)
    simulator.clear_calls()
    finished = run_example("keep_alive.py", training_file)
    assert "before: window_expired\njob: validating_files\nafter: recent_inference\n" == finished.stdout, (
        finished.stderr
    )
    assert ["GET /v1/models", "POST /v1/chat/completions", "POST /v1/fine_tuning/jobs"] == paths(simulator)


def test_keep_alive_renews_the_window_once(run_example, simulator, model):
    first = run_example("keep_alive.py").stdout
    second = run_example("keep_alive.py").stdout
    assert (f"sent to {model}\n", "not sent: not_due\n") == (first, second)
    assert 1 == paths(simulator).count("POST /v1/chat/completions")


def test_whole_organization_finds_another_programs_inference(run_example, simulator):
    umbrella = simulator.add_organization(slug="umbrella-9", api_key="sk-umbrella", admin_key="sk-admin-u")
    model = simulator.add_model(umbrella, suffix="bot")
    with openai.OpenAI(base_url=simulator.base_url, api_key="sk-umbrella") as unguarded:
        unguarded.chat.completions.create(model=model, messages=[{"role": "user", "content": "a"}])
    simulator.clock.advance(timedelta(days=20))
    keys = {"OPENAI_API_KEY": "sk-umbrella", "FINETUNE_GUARD_ADMIN_API_KEY": "sk-admin-u"}
    verdict, ends = run_example("whole_organization.py", **keys).stdout.splitlines()
    assert "eligible: recent_inference until 2026-09-30 12:00:00+00:00" == verdict
    assert f"{model}: last used 2026-08-01 12:00, ends 2027-01-14 (from the base)" == ends


def test_handling_errors_of_a_closed_window(run_example, simulator, asked, training_file):
    simulator.clock.advance(PAST_THE_WINDOW)
    simulator.clear_calls()
    finished = run_example("handling_errors.py", training_file, returncode=3)
    assert f"The window closed. The latest inference known: {asked}" == finished.stdout.splitlines()[0]
    assert [] == [call for call in paths(simulator) if call.startswith("POST")]


def test_handling_errors_without_a_history(run_example, model, training_file):
    finished = run_example("handling_errors.py", training_file, returncode=4)
    assert finished.stdout.startswith("No inference is known.")


def test_handling_errors_of_a_refusal(run_example, simulator, asked, training_file):
    simulator.clock.advance(timedelta(minutes=1))  # a refusal of the inference's second may be the earlier
    simulator.fault(Fault.training_not_available())
    first = run_example("handling_errors.py", training_file, returncode=5).stdout
    second = run_example("handling_errors.py", training_file, returncode=5).stdout
    assert (
        "The API refused: training_not_available\n",
        "The API refused before: training_not_available\n",
    ) == (first, second)
    assert 1 == paths(simulator).count("POST /v1/fine_tuning/jobs")


def test_existing_client_and_azure_client_are_guarded(run_example, model):
    finished = run_example("existing_client.py", model)
    assert [
        "same class of client: True OpenAI",
        "same connections: True",
        "eligible until: 2026-09-30 12:00:00+00:00",
        "deployments known at Azure: 0",
    ] == finished.stdout.splitlines()


@pytest.mark.slow
def test_testing_your_code_passes_without_a_key(run_pytest):
    finished = run_pytest(EXAMPLES / "testing_your_code.py")
    assert "3 passed" in finished.stdout, finished.stdout + finished.stderr


def test_every_example_is_run_here():
    sources = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES.parent.glob("tests/**/test_*.py"))
    assert [] == [path.name for path in EXAMPLES.glob("*.py") if path.name not in sources]
