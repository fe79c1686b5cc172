from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timezone

import openai
import pytest

import finetune_guard
from tests.cli.cli_facts import API_KEY
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


def test_deployments_are_listed_with_end_last_call_and_model(run, says, call, clock, environment):
    says("deployments", "No deployment is known")
    call("support")
    clock.advance(2 * DAY)
    call("triage")
    environment.delenv("AZURE_OPENAI_API_KEY")
    output = says(
        "deployments",
        "deleted on 2026-08-18, give or take a day, if nobody calls it (in 12 days at the soonest)",
        "deployments on 2027-10-14, training not before 2027-04-14",
        TUNED,
        "calls by programs that do not share this history",
        "Microsoft's fine-tuning guide",
    )
    assert output.index("support") < output.index("triage")
    [first, _] = json.loads(run("deployments", "--json").stdout)
    assert ("support", "alive", TUNED) == (first["name"], first["state"], first["served"])


def test_expired_missing_and_forgotten_deployments(says, call, clock):
    call("support")
    call("triage")
    clock.advance(20 * DAY)
    says("deployments", "deleted since 2026-08-18, give or take a day, unless another program")
    with pytest.raises(openai.NotFoundError):
        call("support")
    says("deployments --forget triage", "Forgotten: triage at")
    says("deployments", "not found on 2026-08-23 09:00 UTC", "forgotten on 2026-08-23 09:00 UTC")


def test_azure_resources_are_shown_apart_from_organizations(run, says, call):
    call("support")
    says("history --all", "No organization is known")
    resource = json.loads(run("deployments", "--json").stdout)[0]["resource"]
    says("history forget acme", f"Known there: {resource}.", code=2)
    says(f"history forget {resource} --yes", f"Removed the whole history of {resource}")
    says("deployments", "No deployment is known")


def test_azure_only_output_does_not_mention_openai(run, says, call, clock, environment):
    of_openai = ("window", "OpenAI f", "organization", "create", "jobs", "Requests")
    says("status", "none is known to end", without=of_openai)
    says("report", "No deployment is known that ends", without=of_openai)
    call("support")
    for line in ("status", "status -v", "report --refresh", "report --html -"):
        says(line, "support", "deleted on 2026-08-18, give or take a day", without=of_openai)
    assert ["deployments"] == list(json.loads(run("status", "--json").stdout))
    [alerts] = json.loads(run("report", "--json").stdout)["deployments"]
    assert ("support", "alive") == (alerts["name"], alerts["state"])
    clock.advance(9 * DAY)
    environment.setenv("FINETUNE_GUARD_WEBHOOK", "http://127.0.0.1:9/")
    [first, second] = [run("alert", "--command", f"'{sys.executable}' -c ''", "--json") for _ in range(2)]
    alerts = json.loads(first.stdout)
    expected = {"event": "deployment_ending", "deployment": "support", "cause": "idle", "within_days": 7}
    assert expected.items() <= alerts.items()
    assert "deleted on 2026-08-18, give or take a day" in alerts["message"]
    assert (0, "") == (second.exit_code, second.stdout)
    [line] = [line for line in run("metrics").stdout.splitlines() if not line.startswith("#")]
    assert line.startswith('finetune_guard_deployment_remaining_seconds{deployment="support",resource="')
    assert 5 < float(line.split()[-1]) / DAY.total_seconds() < 6
    clock.advance(3 * DAY)
    says("check", code=4, without=["table of shutdown dates"])


def test_azure_only_calendar_has_no_openai_dates(run, call):
    call("support")
    calendar = run("calendar").stdout.replace("\r\n ", "")
    for pattern in (
        "DTSTART;VALUE=DATE:20260817",
        "SUMMARY:Deployment support ends if nobody calls it",
        "Azure bills a fine-tuned deployment by the hour",
        "DTSTART;VALUE=DATE:20271014",
        "SUMMARY:Training of base models may retire from this day on",
    ):
        assert pattern in calendar
    assert "job creation" not in calendar
    idle = calendar.partition("SUMMARY:Deployment support")[2].partition("END:VEVENT")[0]
    assert ["P7D", "P1D"] == re.findall("TRIGGER:-(.*)", idle.replace("\r", ""))


def test_same_named_deployments_are_shown_with_their_resource(says, call, clock, azure, environment):
    """The advice is a command that can be typed."""
    call("support")
    clock.advance(12 * DAY)
    costs = "Azure bills a fine-tuned deployment by the hour"
    says("status", "Do now", "finetune-guard keep-alive --deployment support", costs)
    azure.add_resource("west", api_key="key-of-the-west")
    azure.deploy("west", "support", model=TUNED)
    environment.setenv("AZURE_OPENAI_ENDPOINT", azure.endpoint("west"))
    environment.setenv("AZURE_OPENAI_API_KEY", "key-of-the-west")
    call("support")
    east = f"{azure.endpoint('east').partition('//')[2]}/support"
    says("status", f"finetune-guard deployments --forget {east}")
    says(f"keep-alive --dry-run --deployment {east}", "is not a deployment of", code=2)
    says("config", "set in AZURE_OPENAI_API_KEY")


def test_status_after_openais_end_starts_with_deployments(run, says, sim, azure, call, clock, environment):
    clock.set(datetime(2027, 2, 1, tzinfo=timezone.utc))
    azure.deploy("east", "support", model=TUNED)
    call("support")
    environment.setenv("OPENAI_API_KEY", API_KEY)
    environment.setenv("FINETUNE_GUARD_HOSTS", sim.host)
    lines = run("status").stdout.splitlines()
    assert lines[0].startswith("Deployments")
    assert 1 == sum("nobody can create" in line for line in lines)
    for line in ("report", "report --html -"):
        says(line, "Deployments that end when nobody calls them", "2027-02-16, give", "INELIGIBLE")


def test_subscription_lists_deployments_never_called(says, environment, azure):
    management = azure_management.install(environment)
    management.deployments["acme"].append(azure_management.deployment("plain", "gpt-4o", "2024-08-06"))
    line = f"deployments --subscription {azure_management.SUBSCRIPTION}"
    says(
        line,
        "acme.openai.azure.com",
        "support no call known: deleted 15 days after the last one; deployed on 2026-11-01",
        "plain no end: it serves a base model",
        "Not known when it was last called",
    )
    management.signs_in = False
    assert says(line, "az login", code=1).startswith("Error: ")
    says("deployments --subscription mine", code=2)


def test_named_deployment_gets_a_keep_alive_and_the_cost_is_stated(run, says, call, clock, environment, sim):
    call("support")
    says("keep-alive", "goes on being billed by the hour: name those that are wanted", code=2)
    says("keep-alive --deployment support", "Not sent to support: its end is not near.")
    clock.advance(12 * DAY)
    environment.setenv("FINETUNE_GUARD_KEEP_ALIVE", '{"deployments": ["support"]}')
    says("keep-alive --dry-run", "Due: support.", "goes on being billed")
    says("keep-alive", "Sent: support answered, and goes on until about 2026-08-30. Azure bills")
    second = json.loads(run("keep-alive", "--json").stdout)
    assert [("support", "not_due")] == [
        (deployment["model"], deployment["reason"]) for deployment in second["deployments"]
    ]
    assert 2 == sum(call.method == "POST" for call in sim.calls)
    says("keep-alive --force --deployment support", "Sent: support")


def test_failed_deployment_keep_alive_exits_1(says, call, clock, environment):
    """Without a key nothing is tried."""
    call("support")
    clock.advance(16 * DAY)
    line = "keep-alive --deployment support"
    says(line, "Not sent to support: ", code=1)
    says(line, "Deploy it again, and call it once", code=1)
    says(
        "keep-alive --deployment typo",
        "Not sent to typo: 404 DeploymentNotFound.",
        code=1,
        without=["--model"],
    )
    environment.delenv("AZURE_OPENAI_API_KEY")
    says(line, "Set AZURE_OPENAI_API_KEY", code=2)


@pytest.mark.slow
def test_watch_keeps_deployments_alive_and_beats(start, call, clock, environment, tmp_path):
    call("support")
    clock.advance(13 * DAY)
    beat = tmp_path / "beat"
    process = start("keep-alive", "--watch", "--deployment", "support", "--heartbeat", str(beat))
    line = process.stdout.readline()
    assert "Sent: support answered" in line
    assert "by the hour" in line
    process.terminate()
    assert (0, True) == (process.wait(300), beat.exists())


def test_schedule_for_deployments_names_variables_and_cost(run, says):
    keys = "AZURE_OPENAI_ENDPOINT=... and AZURE_OPENAI_API_KEY=..."
    costs = "# The deployments that are named go on being billed by the hour"
    for scheduler in ("cron", "systemd"):
        line = f"schedule {scheduler} --deployment support"
        assert says(line, "keep-alive --deployment support", keys).startswith(costs)
    says(
        "schedule github-actions --deployment 'a b' --install x.whl",
        "finetune-guard keep-alive --deployment 'a b'",
        "${{ secrets.AZURE_OPENAI_API_KEY }}",
    )
    pod = "schedule kubernetes --deployment support --image x"
    says(pod, '"keep-alive", "--deployment", "support"]', "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY")
