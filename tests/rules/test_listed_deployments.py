"""What is known of deployments once Azure has listed those that stand."""

from __future__ import annotations

from datetime import datetime, timezone

from finetune_guard.azure_api.listing import ListedDeployment, ListedResource
from finetune_guard.domain.facts import Ended, EndedBy, Inference, Served
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.idle_policy import SHIPPED
from finetune_guard.rules.deployments import deployments_of, with_listing
from finetune_guard.rules.idle_messages import end_in_words
from tests.support.constants import DAY

AZURE = SHIPPED[0]
PLACE, ELSEWHERE = "acme.services.ai.azure.com", "gateway.example.com/acme"
HOSTS = ("acme.openai.azure.com", PLACE)
BASE = "gpt-4.1-mini-2025-04-14"
TUNED = f"{BASE}.ft-0a1b"
CREATED = datetime(2026, 11, 1, 8, tzinfo=timezone.utc)
NOW = datetime(2026, 12, 1, 9, tzinfo=timezone.utc)


def known(resource, *, given=(), gone=(), forgotten=(), **called):
    """What a history knows of deployments that were called so many days ago."""
    models = {
        name: Inference(organization="x", model=name, at=NOW - days * DAY, served=Served(model=TUNED, at=NOW))
        for name, days in called.items()
    }
    whys = {EndedBy.NOT_FOUND: gone, EndedBy.FORGOTTEN: forgotten}
    ended = {name: Ended(at=NOW, why=why) for why, names in whys.items() for name in names}
    history = History(evidence=Evidence(organization="x", ended=ended), models=models)
    return deployments_of(resource, history, AZURE, NOW, [f"{resource}/{name}" for name in given])


def told(found):
    return {each.name: (each.state.value, each.ends is not None, *each.unknown) for each in found}


def test_a_deployment_that_this_history_never_saw():
    """It is listed as one without a known call, which no guess dates; one of a base model needs none."""
    listed = {
        "idle": ListedDeployment(TUNED, CREATED),
        "plain": ListedDeployment(BASE, CREATED),
        "odd": ListedDeployment(None, None),
    }
    idle, plain, odd = with_listing([], [ListedResource(HOSTS, listed)], AZURE, NOW)
    when = "when it was last called, and so when it ends"
    assert {
        "idle": ("no_call_known", False, when),
        "plain": ("base_model", False),
        "odd": ("no_call_known", False, when),
    } == told([idle, plain, odd])
    assert [HOSTS[0]] * 3 == [each.resource for each in (idle, plain, odd)]
    assert [TUNED, BASE, None] == [each.served for each in (idle, plain, odd)]
    after = "no call known: deleted 15 days after the last one"
    assert [f"{after}; deployed on 2026-11-01", "no end: it serves a base model", after] == [
        end_in_words(each, NOW) for each in (idle, plain, odd)
    ]
    assert (True, None, None) == (idle.retirement is not None, plain.retirement, odd.retirement)


def test_what_stands_is_told_by_azure():
    """A deployment that isn't listed is gone, and one that is stands, whatever the history believed."""
    called = {"recent": 1, "late": 20, "deleted": 2, "again": 30, "lost": 30, "unwanted": 3}
    before = known(PLACE, given=["named"], gone=["again", "lost"], forgotten=["unwanted"], **called)
    elsewhere = known(ELSEWHERE, recent=1, late=20)
    stands = dict.fromkeys(("recent", "late", "again", "named"), ListedDeployment(TUNED, CREATED))
    found = with_listing([*before, *elsewhere], [ListedResource(HOSTS, stands)], AZURE, NOW)
    assert elsewhere == tuple(each for each in found if each.resource == ELSEWHERE)
    here = {each.name: each for each in found if each.resource == PLACE}
    assert len(found) == len(before) + len(elsewhere)
    assert {
        "recent": "alive",
        "late": "alive",
        "deleted": "gone",
        "again": "no_call_known",
        "lost": "gone",
        "unwanted": "forgotten",
        "named": "no_call_known",
    } == {name: each.state.value for name, each in here.items()}
    assert next(each for each in before if each.name == "recent") == here["recent"]
    assert (None, 1) == (here["late"].ends, len(here["late"].unknown))
    assert "another program has called it" in here["late"].unknown[0]
    assert (None, NOW - 2 * DAY) == (here["deleted"].ends, here["deleted"].last_call)
    assert {
        "recent": "deleted on 2026-12-15",
        "late": "no end known: it stands",
        "deleted": "not found on 2026-12-01 09:00 UTC",
        "again": "no call known",
    }.items() <= {
        name: end_in_words(each, NOW).partition(", ")[0].partition("; ")[0].partition(": d")[0]
        for name, each in here.items()
    }.items()
