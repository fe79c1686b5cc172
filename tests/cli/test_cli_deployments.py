from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timezone

import openai
import pytest

import finetune_guard
from tests.cli.cli_facts import API_KEY, flat
from tests.support import azure_management
from tests.support.constants import DAY, MESSAGES

KEY = "key-of-the-east"
BASE = "gpt-4.1-mini-2025-04-14"
TUNED = f"{BASE}.ft-0a1b2c3d"


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
            client.chat.completions.create(model=name, messages=MESSAGES)

    return call_deployment


def test_deployments_and_their_ends(run, call, clock, environment):
    """Each is listed with its end, its last call and its model, and what is unknown; no key is needed."""
    assert "No deployment is known" in run("deployments").stdout
    call("support")
    clock.advance(2 * DAY)
    call("triage")
    environment.delenv("AZURE_OPENAI_API_KEY")
    output = flat(run("deployments").stdout)
    assert output.index("support") < output.index("triage")
    for said in (
        "deleted on 2026-08-18, give or take a day, if nobody calls it (in 12 days at the soonest)",
        "deployments on 2027-10-14, training not before 2027-04-14",
        TUNED,
        "calls by programs that do not share this history",
        "Microsoft's fine-tuning guide",
    ):
        assert said in output
    [first, _] = json.loads(run("deployments", "--json").stdout)
    assert ("support", "alive", TUNED) == (first["name"], first["state"], first["served"])


def test_a_deployment_that_is_gone_or_not_wanted(run, call, clock):
    """One past its days may be deleted; one that was not found is gone; an unwanted one is forgotten."""
    call("support")
    call("triage")
    clock.advance(20 * DAY)
    assert "deleted since 2026-08-18, give or take a day, unless another program" in flat(
        run("deployments").stdout
    )
    with pytest.raises(openai.NotFoundError):
        call("support")
    assert "Forgotten: triage at" in run("deployments", "--forget", "triage").stdout
    output = run("deployments").stdout
    assert "not found on 2026-08-23 09:00 UTC" in output
    assert "forgotten on 2026-08-23 09:00 UTC" in output


def test_resources_are_no_organizations(run, call):
    """What is known of Azure's deployments is told apart from OpenAI's organizations."""
    call("support")
    assert "No organization is known" in run("history", "--all").stdout
    resource = json.loads(run("deployments", "--json").stdout)[0]["resource"]
    assert f"Known there: {resource}." in run("history", "forget", "acme").stderr
    assert f"Removed the whole history of {resource}" in run("history", "forget", resource, "--yes").stdout
    assert "No deployment is known" in run("deployments").stdout


def test_a_status_where_there_is_only_azure(run, call, clock, azure, environment):
    """A program that only uses Azure reads nothing of OpenAI's window, before and after a call.

    Of two deployments with the same name each is called by its resource, too.
    """
    assert "none is known to end" in run("status").stdout
    call("support")
    for options in ((), ("-v",)):
        output = run("status", *options).stdout
        assert "support  deleted on 2026-08-18, give or take a day" in output
        for word in ("window", "OpenAI", "organization", "create"):
            assert word not in output
    assert ["deployments"] == list(json.loads(run("status", "--json").stdout))
    clock.advance(12 * DAY)
    output = run("status").stdout
    assert "Do now" in output
    assert "finetune-guard keep-alive --deployment support" in output
    assert "Azure bills a fine-tuned deployment by the hour" in flat(output)
    assert "table of shutdown dates" not in run("check").output
    azure.add_resource("west", api_key="key-of-the-west")
    azure.deploy("west", "support", model=TUNED)
    environment.setenv("AZURE_OPENAI_ENDPOINT", azure.endpoint("west"))
    environment.setenv("AZURE_OPENAI_API_KEY", "key-of-the-west")
    call("support")
    east = f"{azure.endpoint('east').partition('//')[2]}/support"
    assert f"finetune-guard deployments --forget {east}" in flat(run("status").stdout)
    result = run("keep-alive", "--dry-run", "--deployment", east)
    assert 2 == result.exit_code
    assert "is not a deployment of" in result.stderr
    assert "set in AZURE_OPENAI_API_KEY" in run("config").stdout


def test_after_openais_end_the_status_starts_with_what_is_alive(run, sim, azure, call, clock, environment):
    """From January 15, 2027 on deployments come first, and what is over is said once; a report has both."""
    clock.set(datetime(2027, 2, 1, tzinfo=timezone.utc))
    azure.deploy("east", "support", model=TUNED)
    call("support")
    environment.setenv("OPENAI_API_KEY", API_KEY)
    environment.setenv("FINETUNE_GUARD_HOSTS", sim.host)
    lines = run("status").stdout.splitlines()
    assert lines[0].startswith("Deployments")
    assert 1 == sum("nobody can create" in line for line in lines)
    for page in (run("report").stdout, run("report", "--html", "-").stdout):
        for said in (
            "Deployments that end when nobody calls them",
            "2027-02-16, give or take a day",
            "INELIGIBLE",
        ):
            assert said in page


def test_deployments_that_azure_lists(run, environment, azure):
    """With a subscription's id those are listed too that no guarded client has called, base models' apart."""
    management = azure_management.install(environment)
    management.deployments["acme"].append(azure_management.deployment("plain", "gpt-4o", "2024-08-06"))
    output = flat(run("deployments", "--subscription", azure_management.SUBSCRIPTION).stdout)
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


def test_a_named_deployment_is_kept_alive(run, call, clock, environment, sim):
    """Only one that is named is called, in its last days; every word of it tells that it is billed on."""
    call("support")
    refused = run("keep-alive")
    assert 2 == refused.exit_code
    assert "goes on being billed by the hour: name those that are wanted" in refused.stderr
    assert "Not sent to support: its end is not near." in run("keep-alive", "--deployment", "support").stdout
    clock.advance(12 * DAY)
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", '{"deployments": ["support"]}')
    planned = run("keep-alive", "--dry-run").stdout
    assert "Due: support." in planned
    assert "goes on being billed" in planned
    sent = run("keep-alive")
    assert sent.stdout.startswith("Sent: support answered, and goes on until about 2026-08-30. Azure bills")
    again = json.loads(run("keep-alive", "--json").stdout)
    assert [("support", "not_due")] == [(each["model"], each["reason"]) for each in again["deployments"]]
    assert 2 == sum(each.method == "POST" for each in sim.calls)
    assert "Sent: support" in run("keep-alive", "--force", "--deployment", "support").stdout


def test_a_deployment_that_can_not_be_kept_alive(run, call, clock, environment):
    """One that is gone, or doesn't answer, ends with exit code 1; without a key nothing is tried."""
    call("support")
    clock.advance(16 * DAY)
    failed = run("keep-alive", "--deployment", "support")
    assert 1 == failed.exit_code
    assert "Not sent to support: " in failed.stderr
    failed = run("keep-alive", "--deployment", "support")
    assert (1, True) == (failed.exit_code, "Deploy it again, and call it once" in failed.stderr)
    environment.delenv("AZURE_OPENAI_API_KEY")
    failed = run("keep-alive", "--deployment", "support")
    assert (2, True) == (failed.exit_code, "Set AZURE_OPENAI_API_KEY" in failed.stderr)


@pytest.mark.slow
def test_a_watch_over_deployments(start, call, clock, environment, tmp_path):
    """A process that stays calls a deployment when its end nears, and beats while all is well."""
    call("support")
    clock.advance(13 * DAY)
    beat = tmp_path / "beat"
    process = start("keep-alive", "--watch", "--deployment", "support", "--heartbeat", str(beat))
    line = process.stdout.readline()
    assert "Sent: support answered" in line
    assert "by the hour" in line
    process.terminate()
    assert 0 == process.wait(30)
    assert beat.exists()


def test_a_schedule_for_deployments(run):
    """A scheduler is told the deployments, Azure's variables and what it costs, and runs often enough."""
    for scheduler in ("cron", "systemd"):
        output = run("schedule", scheduler, "--deployment", "support").stdout
        assert "keep-alive --deployment support" in output
        assert "AZURE_OPENAI_ENDPOINT=... and AZURE_OPENAI_API_KEY=..." in output
        assert output.startswith("# The deployments that are named go on being billed by the hour")
    workflow = run("schedule", "github-actions", "--deployment", "a b", "--install", "x.whl").stdout
    assert "finetune-guard keep-alive --deployment 'a b'" in workflow
    assert "${{ secrets.AZURE_OPENAI_API_KEY }}" in workflow
    pod = run("schedule", "kubernetes", "--deployment", "support", "--image", "x").stdout
    assert '"keep-alive", "--deployment", "support"]' in pod


def test_a_report_where_there_is_only_azure(run, call, clock):
    """It lists the deployments in each form, without a word about OpenAI's jobs."""
    assert "No deployment is known that ends" in run("report").stdout
    call("support")
    for result in (run("report", "--refresh"), run("report", "--html", "-")):
        assert (0, "") == (result.exit_code, result.stderr)
        assert "deleted on 2026-08-18, give or take a day" in result.stdout
        for word in ("window", "OpenAI", "organization", "jobs", "Requests"):
            assert word not in result.stdout
    [told] = json.loads(run("report", "--json").stdout)["deployments"]
    assert ("support", "alive") == (told["name"], told["state"])


def test_a_calendar_where_there_is_only_azure(run, call):
    """It has the day on which a deployment may be deleted, and the retirements; nothing of OpenAI's dates."""
    call("support")
    calendar = run("calendar").stdout.replace("\r\n ", "")
    assert "DTSTART;VALUE=DATE:20260817" in calendar
    assert "SUMMARY:Deployment support ends if nobody calls it" in calendar
    assert "Azure bills a fine-tuned deployment by the hour" in calendar
    assert "DTSTART;VALUE=DATE:20271014" in calendar
    assert "SUMMARY:Training of base models may retire from this day on" in calendar
    assert "job creation" not in calendar
    idle = calendar.partition("SUMMARY:Deployment support")[2].partition("END:VEVENT")[0]
    assert ["P7D", "P1D"] == re.findall("TRIGGER:-(.*)", idle.replace("\r", ""))
