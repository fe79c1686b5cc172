"""The state of deployments, from their history and Azure's list."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from finetune_guard.azure_api.listing import ListedDeployment, ListedResource
from finetune_guard.domain.facts import Ended, Inference, Served
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.idle_policy import SHIPPED
from finetune_guard.rules.deployments import (
    covers,
    deployment_delay,
    deployments_of,
    names_at,
    reason_not_to_keep,
    unambiguous,
    upcoming_ends,
    with_listing,
)
from finetune_guard.rules.idle_messages import end_in_words, kept_alive, nearly_idle, retirement_in_words
from finetune_guard.rules.keep_alive import KeepAlive, KeepAliveOutcome, NotSent
from tests.support.constants import DAY, utc

AZURE, FIREWORKS = SHIPPED[:2]
PLACE = "acme.openai.azure.com"
BASE = "gpt-4.1-mini-2025-04-14"
TUNED = f"{BASE}.ft-0a1b"
AT = utc(2026, 12, 1, 9)


def history(*, ended=None, days_ago=None, **served) -> History:
    """What is remembered of deployments by the model that each answer named, at AT or days before."""
    models = {}
    for name, model in served.items():
        at, served_model = (
            AT - (days_ago or {}).get(name, 0) * DAY,
            Served(model=model, at=AT) if model else None,
        )
        models[name] = Inference(organization=PLACE, model=name, at=at, served=served_model)
    return History(evidence=Evidence(organization=PLACE, ended=ended or {}), models=models)


def states(known: History, now: datetime, policy=AZURE, named=()):
    return {
        deployment.name: deployment.state.value
        for deployment in deployments_of(PLACE, known, policy, now, named)
    }


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (timedelta(0), "alive"),
        (14 * DAY, "alive"),
        (14 * DAY + timedelta(hours=1), "may_be_gone"),
        (40 * DAY, "may_be_gone"),
    ],
)
def test_deployment_may_be_deleted_once_its_last_day_begins_anywhere(after, state):
    """From then on only Azure can tell."""
    assert {"support": state} == states(history(support=TUNED), AT + after)


def test_rule_covers_fine_tunes_named_deployments_and_unknown_models():
    known = history(tuned=TUNED, plain=BASE, given=BASE, silent=None)
    expected = {"tuned": "alive", "given": "alive", "silent": "alive", "plain": "base_model"}
    assert expected == states(known, AT, named=[f"{PLACE}/given"])
    assert expected | {"other": "no_call_known"} == states(
        known, AT, named=["given", f"{PLACE}/other", "x/y"]
    )
    assert {"plain": "base_model"} == states(history(plain=BASE), AT, FIREWORKS)
    assert {"plain": "alive"} == states(history(plain=BASE), AT, FIREWORKS, ["plain"])
    assert covers(FIREWORKS.model_copy(update={"covers": "all"}), None, named=False)


def ended(why="not_found", at=AT):
    return {"x": Ended(at=at, why=why)}


@pytest.mark.parametrize(("why", "over"), [("not_found", "gone"), ("forgotten", "forgotten")])
@pytest.mark.parametrize(("after", "counts"), [(timedelta(0), True), (-DAY, False)])
def test_missing_or_forgotten_deployment_is_so_until_its_next_call(why, over, after, counts):
    [deployment] = deployments_of(PLACE, history(x=TUNED, ended=ended(why, AT + after)), AZURE, AT)
    assert (over if counts else "alive") == deployment.state
    assert counts == (deployment.ends is None) == (not deployment.is_covered)


def test_unknown_facts_of_a_deployment_are_stated():
    [silent] = deployments_of(PLACE, history(silent=None), AZURE, AT)
    assert 5 == len(silent.unknown)
    assert "which model it serves: no answer has named it" in silent.unknown
    [tuned] = deployments_of(PLACE, history(tuned=TUNED), AZURE, AT)
    assert (3, TUNED) == (len(tuned.unknown), tuned.served)
    [minutes] = deployments_of(PLACE, history(x=None), SHIPPED[2], AT, ["x"])
    assert "the hour and the zone of its last day" not in minutes.unknown
    own = AZURE.model_copy(update={"condition": "", "name": "own"})
    [plain] = deployments_of(PLACE, history(tuned=TUNED), own, AT)
    assert (2, None) == (len(plain.unknown), plain.retirement)


def test_deletion_and_retirement_dates_of_deployments():
    why_ended = {"gone": Ended(at=AT, why="not_found")}
    known = deployments_of(
        PLACE, history(support=TUNED, gone=TUNED, plain=BASE, silent=None, ended=why_ended), AZURE, AT
    )
    assert [
        ("idle", date(2026, 12, 15), "silent", None),
        ("idle", date(2026, 12, 15), "support", None),
        ("training_retirement", date(2027, 4, 14), "support", "no_earlier_than"),
        ("deployment_retirement", date(2027, 10, 14), "support", "on"),
    ] == [
        (end.kind, end.day, end.deployment.name, end.published and end.published.kind)
        for end in upcoming_ends(known)
    ]


@pytest.mark.parametrize(
    ("policy", "pause", "summary"),
    [
        (AZURE, 13.2 * DAY, ("not called for 13 days", "A fine-tuned deployment", "by the hour")),
        (SHIPPED[2], timedelta(minutes=150), ("not called for 2 hours", "is stopped", "Start the endpoint")),
        (SHIPPED[3], 14 * DAY, ("not called for 14 days", "A model without", "That can't be undone.")),
    ],
)
def test_idle_warning_names_rule_remedy_and_cost(policy, pause, summary):
    message = nearly_idle(PLACE, "support", policy, AT, AT + pause)
    assert all(part in message for part in (*summary, 'KeepAlive(deployments=["support"])'))
    undoable = policy.model_copy(update={"restore": "", "reversible": True})
    assert "That can be undone." in nearly_idle(PLACE, "support", undoable, AT, AT + pause)


@pytest.mark.parametrize(
    ("known", "policy", "after", "summary"),
    [
        (history(x=TUNED), AZURE, DAY, "deleted on 2026-12-16, give or take a day, if nobody calls it (in"),
        (history(x=TUNED), AZURE, 15 * DAY, "may be deleted by now: 2026-12-16, give or take a day"),
        (history(x=TUNED), AZURE, 20 * DAY, "deleted since 2026-12-16, give or take a day, unless another"),
        (history(x=TUNED), SHIPPED[2], DAY / 48, "stopped on 2026-12-01 10:00 UTC, if nobody calls it (in 0"),
        (history(x=BASE), AZURE, DAY, "no end: its answers name a base model"),
        (history(), AZURE, DAY, "no call known: deleted 15 days after the last one"),
        (history(x=TUNED, ended=ended()), AZURE, DAY, "not found on 2026-12-01"),
        (history(x=TUNED, ended=ended("forgotten")), AZURE, DAY, "forgotten on 2026-12-01"),
    ],
)
def test_each_deployment_state_has_a_text(known, policy, after, summary):
    named = [] if policy is AZURE and known.models else [f"{PLACE}/x"]
    [deployment] = deployments_of(PLACE, known, policy, AT + after, named)
    assert end_in_words(deployment, AT + after).startswith(summary)


def test_retirement_text():
    tuned, silent = deployments_of(PLACE, history(tuned=TUNED, silent=None), AZURE, AT)[::-1]
    assert "deployments on 2027-10-14, training not before 2027-04-14" == retirement_in_words(tuned)
    assert "" == retirement_in_words(silent)


def test_deployment_names_with_and_without_a_resource():
    named = ["support", f"{PLACE}/triage", "west.azure.com/other", "localhost:8000/x", "accounts/a/d"]
    assert ("support", "triage", "accounts/a/d") == names_at(PLACE, [*named, "support"])


def test_same_named_deployments_are_shown_with_their_resource():
    here = deployments_of(PLACE, history(support=TUNED, triage=TUNED), AZURE, AT)
    there = deployments_of("west.example", history(support=TUNED), AZURE, AT)
    assert [f"{PLACE}/support", "triage", "west.example/support"] == unambiguous([*here, *there])


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("known", "after", "expected", "looked_after"),
    [
        (history(x=TUNED), 11 * DAY, NotSent.NOT_DUE, HOUR),
        (history(x=TUNED), 11 * DAY + HOUR / 2, NotSent.NOT_DUE, HOUR / 2),
        (history(x=TUNED), 12 * DAY, None, HOUR),
        (history(x=TUNED), 40 * DAY, None, HOUR),
        (history(), DAY, None, HOUR),
        (history(x=TUNED, ended=ended()), DAY, NotSent.DEPLOYMENT_GONE, HOUR),
        (history(x=TUNED, ended=ended("forgotten")), DAY, NotSent.FORGOTTEN, HOUR),
        (history(ended=ended()), DAY, NotSent.DEPLOYMENT_GONE, HOUR),
    ],
)
def test_deployment_keep_alive_is_due_in_the_last_fifth_of_its_window(known, after, expected, looked_after):
    now = AT + after
    [deployment] = deployments_of(PLACE, known, AZURE, now, [f"{PLACE}/x"])
    assert expected is reason_not_to_keep(KeepAlive(deployments=["x"]), deployment, now)
    assert looked_after == deployment_delay(KeepAlive(deployments=["x"]), deployment, now)


def test_named_deployments_send_no_keep_alive_for_jobs():
    assert KeepAlive().for_jobs
    assert not KeepAlive(deployments=["x"]).for_jobs
    assert KeepAlive(deployments=["x"], jobs=True).for_jobs


def test_deployment_keep_alive_result_has_a_text():
    sent = KeepAliveOutcome(sent=True, model="support", at=AT)
    assert "Sent: support answered, and goes on until about 2026-12-16. Azure bills" in kept_alive(
        sent, AZURE
    )
    reasons = (NotSent.NOT_DUE, NotSent.RENEWED_BY_ANOTHER, NotSent.ANOTHER_IS_SENDING, NotSent.FORGOTTEN)
    for reason in reasons:
        outcome = KeepAliveOutcome(sent=False, model="support", reason=reason)
        assert kept_alive(outcome, AZURE).startswith("Not sent to support: ")


HOSTS = ("acme.services.ai.azure.com", PLACE)
CREATED = utc(2026, 11, 1, 8)


def summary(deployments):
    return {
        deployment.name: (deployment.state.value, deployment.ends is not None, *deployment.unknown)
        for deployment in deployments
    }


def test_deployment_known_only_from_azures_list_has_no_date():
    listed = {
        "idle": ListedDeployment(TUNED, CREATED),
        "plain": ListedDeployment(BASE, CREATED),
        "odd": ListedDeployment(None, None),
    }
    idle, plain, odd = with_listing([], [ListedResource(HOSTS, listed)], AZURE, AT)
    when = "when it was last called, and so when it ends"
    assert {
        "idle": ("no_call_known", False, when),
        "plain": ("base_model", False),
        "odd": ("no_call_known", False, when),
    } == summary([idle, plain, odd])
    assert [HOSTS[0]] * 3 == [deployment.resource for deployment in (idle, plain, odd)]
    assert [TUNED, BASE, None] == [deployment.served for deployment in (idle, plain, odd)]
    after = "no call known: deleted 15 days after the last one"
    assert [f"{after}; deployed on 2026-11-01", "no end: it serves a base model", after] == [
        end_in_words(deployment, AT) for deployment in (idle, plain, odd)
    ]
    assert (True, None, None) == (idle.retirement is not None, plain.retirement, odd.retirement)


def test_azures_list_decides_whether_a_deployment_exists():
    called = {"recent": 1, "late": 20, "deleted": 2, "again": 30, "lost": 30, "unwanted": 3}
    whys = {"again": "not_found", "lost": "not_found", "unwanted": "forgotten"}
    remembered = history(
        ended={name: Ended(at=AT, why=why) for name, why in whys.items()},
        days_ago=called,
        **dict.fromkeys(called, TUNED),
    )
    before = deployments_of(PLACE, remembered, AZURE, AT, [f"{PLACE}/named"])
    called_elsewhere = history(days_ago=called, recent=TUNED, late=TUNED)
    elsewhere = deployments_of("gateway.example.com/acme", called_elsewhere, AZURE, AT)
    stands = dict.fromkeys(("recent", "late", "again", "named"), ListedDeployment(TUNED, CREATED))
    merged = with_listing([*before, *elsewhere], [ListedResource(HOSTS, stands)], AZURE, AT)
    assert elsewhere == tuple(deployment for deployment in merged if deployment.resource != PLACE)
    here = {deployment.name: deployment for deployment in merged if deployment.resource == PLACE}
    assert len(merged) == len(before) + len(elsewhere)
    assert {
        "recent": "alive",
        "late": "alive",
        "deleted": "gone",
        "again": "no_call_known",
        "lost": "gone",
        "unwanted": "forgotten",
        "named": "no_call_known",
    } == {name: deployment.state.value for name, deployment in here.items()}
    assert next(deployment for deployment in before if deployment.name == "recent") == here["recent"]
    assert (None, 1) == (here["late"].ends, len(here["late"].unknown))
    assert "another program has called it" in here["late"].unknown[0]
    assert (None, AT - 2 * DAY) == (here["deleted"].ends, here["deleted"].last_call)
    assert {
        "recent": "deleted on 2026-12-15",
        "late": "no end known: it still exists",
        "deleted": "not found on 2026-12-01 09:00 UTC",
        "again": "no call known",
    }.items() <= {
        name: end_in_words(deployment, AT).partition(", ")[0].partition("; ")[0].partition(": d")[0]
        for name, deployment in here.items()
    }.items()
