from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from cli_facts import API_KEY

from finetune_guard import KeepAliveOutcome
from finetune_guard.keep_alive import KeepAlivePlan, NotSent
from finetune_guard.simulator import Fault


def inferences(sim):
    return [call.model for call in sim.calls if call.path == "/v1/chat/completions"]


def test_it_is_sent_when_the_window_closes_soon(run, ask, model, clock, sim):
    """Near the window's end one inference goes to the model used last, and the window is open anew."""
    ask(model)
    clock.advance(timedelta(days=50))
    result = run("keep-alive")
    assert 0 == result.exit_code
    assert f"Sent: {model} answered at 2026-09-22 09:00 UTC." == result.stdout.splitlines()[0]
    assert "2026-11-21 09:00 UTC" in result.stdout.splitlines()[1]
    assert [model, model] == inferences(sim)


def test_it_is_not_sent_twice(run, ask, model, clock, sim):
    """A second run finds that nothing is due: exit 0, no request."""
    ask(model)
    clock.advance(timedelta(days=50))
    run("keep-alive")
    result = run("keep-alive")
    assert 0 == result.exit_code
    assert result.stdout.startswith("Not sent: it is not due.")
    assert 2 == len(inferences(sim))


def test_force_sends_it_anyway(run, ask, model, sim):
    """--force sends one although none is due."""
    ask(model)
    assert 0 == run("keep-alive", "--force").exit_code
    assert 2 == len(inferences(sim))


def test_the_model_can_be_named(run, ask, model, organization, sim):
    """--model sends to that model and no other."""
    other = sim.add_model(organization, suffix="other")
    ask(model)
    assert 0 == run("keep-alive", "--force", "--model", other).exit_code
    assert [model, other] == inferences(sim)


def test_a_model_is_found_when_none_is_known(run, model, sim):
    """With an empty history the API is asked which models there are."""
    result = run("keep-alive")
    assert 0 == result.exit_code
    assert f"Sent: {model} " in result.stdout


def test_a_model_that_is_none_is_misuse(run, sim):
    """A base model's name is refused before anything is sent."""
    result = run("keep-alive", "--model", "gpt-4o")
    assert 2 == result.exit_code
    assert "'gpt-4o'" in result.stderr
    assert () == sim.calls


def test_failures_are_listed_model_by_model(run, ask, model, organization, clock, sim):
    """When no model answers, each one is named with what the API said; exit 1."""
    other = sim.add_model(organization, suffix="other")
    ask(model)
    ask(other)
    clock.advance(timedelta(days=50))
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions", times=100))
    result = run("keep-alive")
    assert 1 == result.exit_code
    assert "" == result.stdout
    assert f"  {other}: 429 insufficient_quota" in result.stderr
    assert "--model" in result.stderr


def test_a_dry_run_sends_nothing(run, ask, model, clock, sim):
    """--dry-run says that one is due, why, and to which model it would go first; no request is made."""
    ask(model)
    clock.advance(timedelta(days=50))
    sim.clear_calls()
    result = run("keep-alive", "--dry-run")
    assert 0 == result.exit_code
    assert (
        f"Due: the window closes on 2026-10-02 09:00 UTC. It would go first to {model}. Nothing was sent.\n"
        == result.stdout
    )
    assert () == sim.calls


def test_a_dry_run_tells_from_when_on_one_is_due(run, ask, model):
    """With an open window --dry-run tells the day from which on a keep-alive is due."""
    ask(model)
    result = run("keep-alive", "--dry-run")
    assert 0 == result.exit_code
    assert "due from 2026-09-18 09:00 UTC on" in result.stdout


def test_a_dry_run_without_any_model(run, model, sim):
    """What would have to be asked first is said, not guessed."""
    result = run("keep-alive", "--dry-run")
    assert "a model that the API would be asked for" in result.stdout
    assert () == sim.calls


def test_a_dry_run_with_force_and_model(run, ask, model):
    """--dry-run takes the same options as the real thing."""
    ask(model)
    result = run("keep-alive", "--dry-run", "--force", "--model", f"{model}:ckpt-step-8")
    assert "--force" in result.stdout
    assert f"first to {model}:ckpt-step-8." in result.stdout


def test_nothing_is_sent_after_the_end(run, ask, model, clock, sim):
    """After January 6 no inference helps, so none is paid for; exit 0."""
    ask(model)
    clock.set(datetime(2027, 1, 8, tzinfo=timezone.utc))
    result = run("keep-alive")
    assert 0 == result.exit_code
    assert result.stdout.startswith("Not sent: creation is closed")
    assert 1 == len(inferences(sim))
    assert run("keep-alive", "--dry-run").stdout.startswith("Not due: since 2027-01-06")


def test_an_unguarded_host_is_a_wrong_set_up(run, environment, sim):
    """A scheduled keep-alive that could never work must not look like a success."""
    environment.delenv("FINETUNE_GUARD_HOSTS")
    result = run("keep-alive")
    assert 2 == result.exit_code
    assert f"FINETUNE_GUARD_HOSTS={sim.host}" in result.stderr
    assert () == sim.calls


def test_json(run, ask, model, clock):
    """--json prints the outcome, and with --dry-run the plan."""
    ask(model)
    clock.advance(timedelta(days=50))
    plan = KeepAlivePlan.model_validate_json(run("keep-alive", "--dry-run", "--json").stdout)
    assert (True, model, None) == (plan.due, plan.model, plan.reason)
    sent = KeepAliveOutcome.model_validate_json(run("keep-alive", "--json").stdout)
    assert (True, model) == (sent.sent, sent.model)
    not_sent = KeepAliveOutcome.model_validate_json(run("keep-alive", "--json").stdout)
    assert (False, NotSent.NOT_DUE) == (not_sent.sent, not_sent.reason)


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--debug"]])
def test_no_output_holds_the_key(run, environment, arguments):
    """Whatever goes wrong, the key is not part of what is printed."""
    environment.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    environment.setenv("FINETUNE_GUARD_HOSTS", "127.0.0.1:9")
    environment.delenv("FINETUNE_GUARD_CLOCK")
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", '{"deadline": "1s"}')
    result = run("keep-alive", *arguments)
    assert 1 == result.exit_code
    assert API_KEY not in result.output
