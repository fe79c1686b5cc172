from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone

import openai
import pytest

import finetune_guard
from tests.cli.cli_facts import API_KEY
from tests.support import azure_management

KEY = "key-of-the-east"
BASE = "gpt-4.1-mini-2025-04-14"
TUNED = f"{BASE}.ft-0a1b2c3d"
DAY = timedelta(days=1)


@pytest.fixture
def azure(sim, environment):
    """An environment that knows Azure alone."""
    sim.azure.add_resource("east", api_key=KEY)
    sim.azure.deploy("east", "support", model=TUNED)
    sim.azure.deploy("east", "triage", model=TUNED)
    for name in ("OPENAI_API_KEY", "FINETUNE_GUARD_HOSTS"):
        environment.delenv(name, raising=False)
    environment.setenv("AZURE_OPENAI_ENDPOINT", sim.azure.endpoint("east"))
    environment.setenv("AZURE_OPENAI_API_KEY", KEY)
    environment.setenv("OPENAI_API_VERSION", "2024-10-21")
    return sim.azure


@pytest.fixture
def call(azure):
    def call_deployment(name):
        with finetune_guard.AzureOpenAI() as client:
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hello"}])

    return call_deployment


def test_deployments_and_their_ends(run, call, clock, environment):
    """Each is listed with its end, its last call and its model, and what is unknown; no key is needed."""
    assert "No deployment is known" in run("deployments").stdout
    call("support")
    clock.advance(2 * DAY)
    call("triage")
    environment.delenv("AZURE_OPENAI_API_KEY")
    output = run("deployments").stdout
    support, triage = output.index("support"), output.index("triage")
    assert support < triage
    assert "deleted on 2026-08-18, give or take a day (in 12 days), if nobody calls it" in " ".join(
        output.split()
    )
    assert "deployments on 2027-10-14, training not before 2027-04-14" in " ".join(output.split())
    assert TUNED in output
    assert "calls by programs that do not share this history" in output
    assert "Microsoft's fine-tuning guide" in output
    [first, _] = json.loads(run("deployments", "--json").stdout)
    assert ("support", "alive", TUNED) == (first["name"], first["state"], first["served"])


def test_a_deployment_that_is_gone_or_not_wanted(run, call, clock):
    """One past its days may be deleted; one that was not found is gone; an unwanted one is forgotten."""
    call("support")
    call("triage")
    clock.advance(20 * DAY)
    assert "deleted since 2026-08-18, give or take a day, unless another program" in " ".join(
        run("deployments").stdout.split()
    )
    with pytest.raises(openai.NotFoundError):
        call("support")
    assert "Forgotten: triage at" in run("deployments", "--forget", "triage").stdout
    output = run("deployments").stdout
    assert "not found on 2026-08-23 09:00 UTC" in output
    assert "forgotten on 2026-08-23 09:00 UTC" in output
    result = run("deployments", "--forget", "nonsense")
    assert 2 == result.exit_code
    assert "No deployment is known as 'nonsense'" in result.stderr


def test_resources_are_no_organizations(run, call):
    """What is known of Azure's deployments is told apart from OpenAI's organizations."""
    call("support")
    assert "No organization is known" in run("history", "--all").stdout


def test_a_status_where_there_is_only_azure(run, call):
    """A program that only uses Azure reads nothing of OpenAI's window, before and after a call."""
    assert "none is known to end" in run("status").stdout
    call("support")
    for options in ((), ("-v",)):
        output = run("status", *options).stdout
        assert "support  deleted on 2026-08-18, give or take a day" in output
        for word in ("window", "OpenAI", "organization", "create"):
            assert word not in output
    assert ["deployments"] == list(json.loads(run("status", "--json").stdout))


def test_after_openais_end_the_status_starts_with_what_is_alive(run, sim, azure, call, clock, environment):
    """From January 15, 2027 on deployments come first, and what is over is said once."""
    clock.set(datetime(2027, 2, 1, tzinfo=timezone.utc))
    azure.deploy("east", "support", model=TUNED)
    call("support")
    environment.setenv("OPENAI_API_KEY", API_KEY)
    environment.setenv("FINETUNE_GUARD_HOSTS", sim.host)
    lines = run("status").stdout.splitlines()
    assert lines[0].startswith("Deployments")
    assert 1 == sum("nobody can create" in line for line in lines)


def test_deployments_that_azure_lists(run, environment, azure):
    """With a subscription's id those are listed too that no guarded client has called, base models' apart."""
    management = azure_management.install(environment)
    management.deployments["acme"].append(azure_management.deployment("plain", "gpt-4o", "2024-08-06"))
    output = " ".join(run("deployments", "--subscription", azure_management.SUBSCRIPTION).stdout.split())
    assert "acme.openai.azure.com" in output
    assert "support no call known: deleted 15 days after the last one; deployed on 2026-11-01" in output
    assert "plain no end: it serves a base model" in output
    assert "Not known when it was last called" in output
    management.signs_in = False
    result = run("deployments", "--subscription", azure_management.SUBSCRIPTION)
    assert (1, "") == (result.exit_code, result.stdout)
    assert "az login" in result.stderr
    assert 2 == run("deployments", "--subscription", "mine").exit_code


def test_alerts_and_metrics_where_there_is_only_azure(run, call, clock, environment):
    """A deployment's end is told and measured, each threshold once, without a word about OpenAI's window."""
    call("support")
    clock.advance(9 * DAY)
    environment.setenv("FINETUNE_GUARD_WEBHOOK", "http://127.0.0.1:9/")
    [first, again] = [run("alert", "--command", f"'{sys.executable}' -c ''", "--json") for _ in range(2)]
    told = json.loads(first.stdout)
    assert ("deployment_ending", "support", "idle", 7) == tuple(
        told[each] for each in ("event", "deployment", "cause", "within_days")
    )
    assert "deleted on 2026-08-18, give or take a day" in told["message"]
    assert "OpenAI" not in first.stdout.replace("Azure OpenAI", "")
    assert (0, "") == (again.exit_code, again.stdout)
    measured = [line for line in run("metrics").stdout.splitlines() if not line.startswith("#")]
    [line] = measured
    assert line.startswith('finetune_guard_deployment_remaining_seconds{deployment="support",resource="')
    assert 5 < float(line.split()[-1]) / DAY.total_seconds() < 6
